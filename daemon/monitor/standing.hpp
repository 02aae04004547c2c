// What a device is to everybody, as far as the host's sysfs says: whether it could be leased, or why not.
#pragma once

#include <string>

#include "daemon/base/error.hpp"
#include "daemon/inventory/inventory.hpp"
#include "daemon/ipc/types.hpp"

namespace iommud::monitor {

struct Standing {
    DeviceState state = DeviceState::available;
    std::string reason;  // why it cannot be leased, and what would change that; empty: it can, or somebody holds it
};

// As if nobody held it: `unsafe`, `unbound`, `host`, `blocked` or `available`.
[[nodiscard]] Standing standing_of_unheld(const Inventory& inventory, const Device& device);

// Whether trying again helps only after an administrator has done something.
[[nodiscard]] constexpr bool cannot_be_leased(DeviceState state) {
    return state == DeviceState::unsafe || state == DeviceState::unbound || state == DeviceState::host ||
           state == DeviceState::blocked;
}

// The error for who asks for it: device_refused of an unsafe device, group_not_viable of another one.
[[nodiscard]] Error refusal(const Device& device, const Standing& standing);

}  // namespace iommud::monitor
