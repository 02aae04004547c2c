// Where a PCI device is plugged in: from its root bus down, without the numbers of the buses below, which move when a
// card is added.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace iommud {

// "00:1c.4/00.0" as it is; "0000:00:1c.4/00.0" without the domain, which is left out where it is 0000. Nothing for
// anything else.
[[nodiscard]] std::optional<std::string> parse_pci_path(std::string_view text);

// The path of the device whose folder in sysfs is `real_path` ("/sys/devices/pci0000:00/0000:00:1c.4/0000:03:00.0");
// nothing when that is no PCI device's.
[[nodiscard]] std::optional<std::string> pci_path_of(std::string_view real_path);

}  // namespace iommud
