// A folder of the host's, seen in a container: read-only, and at a place that the container's image cannot move.
#pragma once

#include <string>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::hook {

// A copy of the mount at `folder`, attached nowhere yet, read-only, for this mount namespace's folders.
[[nodiscard]] Result<UniqueFd> copy_mount(const std::string& folder);

// `root`/run/iommud as a descriptor, made where it is missing. Links in the image lead to somewhere in the image, and a
// link in the place of "iommud" itself is refused.
[[nodiscard]] Result<UniqueFd> mount_point(BorrowedFd root);

// Enters the mount namespace `namespace_fd` for good, and puts `mount` at /run/iommud of what is `root` there.
[[nodiscard]] Result<void> mount_in(BorrowedFd namespace_fd, const std::string& root, BorrowedFd mount);

}  // namespace iommud::hook
