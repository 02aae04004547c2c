// The driver of one device, unbound and bound again, through sysfs.
#pragma once

#include <string>

#include "daemon/base/pci_address.hpp"
#include "daemon/base/result.hpp"

namespace iommud::rebind {

// The VFIO driver that the device is on. Errors: no_such_device; group_not_viable, it is on another driver or on none.
[[nodiscard]] Result<std::string> vfio_driver(const std::string& sysfs, const PciAddress& device);

// Waits, for ever if need be and out of reach of any signal, until every descriptor of the device is closed. Error:
// internal, with the device on no driver if it was the second step that failed.
[[nodiscard]] Result<void> bind_anew(const std::string& sysfs, const PciAddress& device, const std::string& driver);

}  // namespace iommud::rebind
