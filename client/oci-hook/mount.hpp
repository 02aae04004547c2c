// A folder of the host's, seen in a container: read-only, at a place that the container's image cannot move, that
// nobody else can, and that is the container's alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "client/oci-hook/process.hpp"
#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::hook {

// A copy of the mount at `folder`, attached nowhere yet, read-only, for this mount namespace's folders.
[[nodiscard]] Result<UniqueFd> copy_mount(const std::string& folder);

// `root`/run/iommud as a descriptor, made where it is missing. Links in the image lead to somewhere in the image, and a
// link in the place of "iommud" itself is refused; so is a folder on the way there that somebody else than the host's
// root and `container_root`, a uid of the host, can write to: who can rename the folder moves the mount with it.
[[nodiscard]] Result<UniqueFd> mount_point(BorrowedFd root, std::uint32_t container_root);

// Whether what is mounted on the mount of this number appears elsewhere, too (mount_namespaces(7)), from the text of
// /proc/PID/mountinfo. Nothing when there is no such mount in it.
[[nodiscard]] std::optional<bool> propagates(std::string_view mountinfo, std::uint64_t mount);

// Enters the mount namespace of `container` for good, and puts `mount` at /run/iommud of what is `root` there: that is
// what its processes find there, and nobody else does. An error leaves nothing mounted.
[[nodiscard]] Result<void> mount_in(const Process& container, const std::string& root, BorrowedFd mount);

}  // namespace iommud::hook
