// A process by its pidfd, and what /proc says of it: by number, and worth something only while the pidfd's process
// still runs (I3).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/unique_fd.hpp"

namespace iommud {

// The text of a small file in /proc, at most 16 KiB; empty when it cannot be read.
[[nodiscard]] std::string read_proc(const std::string& path);

// False once the process has exited, reaped or not.
[[nodiscard]] bool still_runs(BorrowedFd pidfd);

struct ProcessNumber {
    pid_t pid = 0;        // as this process sees it
    bool nested = false;  // the process is in a pid namespace below ours
};
// Nothing for a process that was reaped, or that is in no pid namespace of ours.
[[nodiscard]] std::optional<ProcessNumber> number_of(BorrowedFd pidfd);

// The same from the text of /proc/self/fdinfo/N.
[[nodiscard]] std::optional<ProcessNumber> parse_pidfd_info(std::string_view info);

// The process that made or opened the other end of a connected socket. Invalid, with the reason in errno, on kernels
// without SO_PEERPIDFD (ENOPROTOOPT; before 6.5) and for a process that was reaped.
[[nodiscard]] UniqueFd peer_pidfd(BorrowedFd socket);

// The effective uid of that process when it made or opened it (SO_PEERCRED); -1 when the kernel does not say.
[[nodiscard]] uid_t peer_uid(BorrowedFd socket);

}  // namespace iommud
