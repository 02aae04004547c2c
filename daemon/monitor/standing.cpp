#include "daemon/monitor/standing.hpp"

#include <fmt/format.h>

#include <utility>

namespace iommud::monitor {

Standing standing_of_unheld(const Inventory& inventory, const Device& device) {
    if (auto reason = inventory.unsafe_reason(device)) {
        return {DeviceState::unsafe, std::move(*reason)};
    }
    if (!on_vfio_driver(device)) {
        constexpr const char* advice = "an administrator binds it to vfio-pci";
        return device.driver.empty() ? Standing{DeviceState::unbound, fmt::format("it is on no driver; {}", advice)}
                                     : Standing{DeviceState::host, fmt::format("it is on the host's driver {}; {}",
                                                                               device.driver, advice)};
    }
    if (const Result<void> viable = inventory.viable(device.iommu_group); !viable) {
        return {DeviceState::blocked, viable.error().message};
    }
    return {DeviceState::available, {}};
}

Error refusal(const Device& device, const Standing& standing) {
    return {standing.state == DeviceState::unsafe ? ErrorCode::device_refused : ErrorCode::group_not_viable,
            fmt::format("{} cannot be leased: {}", device.address.text(), standing.reason)};
}

}  // namespace iommud::monitor
