// iommuctl device show ADDRESS
#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/tables.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const DeviceShow& verb, const Settings& settings) {
    const auto bus = connect(settings);
    if (!bus) {
        return tl::unexpected(bus.error());
    }
    const auto device = device_properties(*bus, verb.address);
    if (!device) {
        return tl::unexpected(device.error());
    }
    return settings.json ? print_json(*device) : print(device_text(*device));
}

}  // namespace iommud::ctl
