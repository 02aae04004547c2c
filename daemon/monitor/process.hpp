// A process by its pidfd, and what /proc says of it: by number, and worth something only while the pidfd's process
// still runs (I3).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::monitor {

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

// A container's first process, as of now.
struct Init {
    UniqueFd pidfd;
    std::uint64_t start = 0;  // in clock ticks since boot: no other process of this number has the same
    std::string cgroup;       // its path in the version 2 hierarchy, "/" for the root; empty: not known
};
[[nodiscard]] Result<Init> look_at_init(pid_t pid);

// Field 22 of the text of /proc/PID/stat, whatever the process calls itself.
[[nodiscard]] std::optional<std::uint64_t> start_time(std::string_view proc_stat);

}  // namespace iommud::monitor
