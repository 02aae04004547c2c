// What the three sides know of a VFIO device in common.
#pragma once

#include <functional>
#include <span>

#include "daemon/base/unique_fd.hpp"

namespace iommud::kernel {

// Whether the device could be reset when it was opened: true only after BIND (hazards.md, M).
[[nodiscard]] bool reset_works(BorrowedFd device);

// Resets the bus or slot of a device with all that is there. `groups`: under type1, of all of that. An errno.
[[nodiscard]] int reset_together(BorrowedFd device, std::span<const BorrowedFd> groups);

// The errno of `call`, which is made again for up to 2 seconds while it is EAGAIN: a reset or a change of its driver
// holds the device's lock.
[[nodiscard]] int when_unlocked(const std::function<int()>& call);

}  // namespace iommud::kernel
