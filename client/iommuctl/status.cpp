// iommuctl status
#include <unistd.h>

#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/tables.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const Status&, const Settings& settings) {
    const auto bus = connect(settings);
    if (!bus) {
        return tl::unexpected(bus.error());
    }
    const auto manager = manager_properties(*bus);
    if (!manager) {
        return tl::unexpected(manager.error());
    }
    const auto objects = all_objects(*bus);
    if (!objects) {
        return tl::unexpected(objects.error());
    }
    const json status = status_of(*manager, *objects, bus->address());
    return settings.json ? print_json(status) : print(status_text(status, style_for(settings, STDOUT_FILENO)));
}

}  // namespace iommud::ctl
