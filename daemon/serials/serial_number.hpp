// The serial number that a PCI Express device has in its configuration space.
#pragma once

#include <string>

#include "daemon/base/result.hpp"

namespace iommud::serials {

// Of the device whose folder in sysfs is `device`: "52-54-00-ff-ff-12-34-56", the number's bytes, the highest first, as
// lspci(8) writes it; "none" when it has none. Wakes a device that sleeps. Needs CAP_SYS_ADMIN, without which the
// kernel shows the first 64 bytes only (pci_read_config). Errors: internal, when it cannot be read.
[[nodiscard]] Result<std::string> serial_number(const std::string& device);

}  // namespace iommud::serials
