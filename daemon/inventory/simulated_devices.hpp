// The devices of the simulated kernel: two built-in ones, or those of <config>/simulated-devices.json.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/inventory/device.hpp"

namespace iommud {

// Two of QEMU's edu devices, 0000:00:04.0 and 0000:00:06.0, in IOMMU groups 3 and 4, on vfio-pci.
[[nodiscard]] std::vector<Device> built_in_simulated_devices();

// {"version": 1, "devices": [{"address": "0000:00:04.0", "vendor": "1234", "device": "11e8", "class": "00ff00",
// "group": 3}]}; optional: "subsystem_vendor", "subsystem_device", "driver" ("vfio-pci" when absent), "numa_node",
// "name", "capabilities", "noiommu", and "group" (none when absent). At most 4,096 devices; an unknown key, a value of
// a wrong type and an address that comes twice are errors (invalid_argument) that name the place.
[[nodiscard]] Result<std::vector<Device>> parse_simulated_devices(std::string_view json);

// simulated-devices.json in `config`, at most 1 MiB; the built-in devices when there is no such file. Errors:
// invalid_argument, with the file's name.
[[nodiscard]] Result<std::vector<Device>> simulated_devices(const std::filesystem::path& config);

}  // namespace iommud
