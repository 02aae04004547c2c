// iommuctl leases
#include <unistd.h>

#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/tables.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const Leases&, const Settings& settings) {
    const auto objects = all_objects(settings);
    if (!objects) {
        return tl::unexpected(objects.error());
    }
    const json& leases = objects->at("leases");
    return settings.json ? print_json(leases) : print(leases_text(leases, style_for(settings, STDOUT_FILENO)));
}

}  // namespace iommud::ctl
