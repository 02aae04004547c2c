// What the three sides know of a VFIO device in common.
#pragma once

#include "daemon/base/pci_address.hpp"
#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::kernel {

// Whether the device could be reset when it was opened: true only after BIND (hazards.md, M).
[[nodiscard]] bool reset_works(BorrowedFd device);

// The error for a client whose device the kernel did not give: `step` is "bind", "attach".
[[nodiscard]] Error device_error(const PciAddress& address, std::string_view step, int error_number);

}  // namespace iommud::kernel
