// iommuctl devices
#include <unistd.h>

#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/tables.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const Devices&, const Settings& settings) {
    const auto objects = all_objects(settings);
    if (!objects) {
        return tl::unexpected(objects.error());
    }
    const json& devices = objects->at("devices");
    return settings.json ? print_json(devices) : print(devices_text(devices, style_for(settings, STDOUT_FILENO)));
}

}  // namespace iommud::ctl
