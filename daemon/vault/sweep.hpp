// A limit that was raised is inherited (hazard C30): who was forked while a direct lease was held keeps its
// RLIMIT_MEMLOCK. A sweep takes that back from every process of the user. For a forked child of the vault: it reads all
// of /proc.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/vault/uid_ranges.hpp"

namespace iommud::vault {

// Whose processes, and which of their limits: those above `allowed` and not above `highest`, the greatest that the
// vault gave a process of that user. What is beyond, the user has by itself.
struct Sweep {
    uid_t uid = 0;
    rlim_t allowed = 0;  // bytes
    rlim_t highest = 0;  // bytes
    [[nodiscard]] bool too_high(const rlimit& limit) const {
        return limit.rlim_max > allowed && limit.rlim_max <= highest;
    }
};

// Lowers all limits that are too high, until passes through /proc find none, and no thread of the user's can still be
// in a fork(2) that was begun before. May take a minute. False: there were some in pass after pass, as when they fork
// faster than they are found; or a thread waits in the kernel for ever; or /proc cannot be read.
[[nodiscard]] bool lower_all(const Sweep& sweep);

// What /proc/PID/task/TID/stat says of a thread (proc_pid_stat(5)); nothing when that is not its text.
struct ThreadStat {
    char state = '?';
    std::uint64_t ran = 0;      // clock ticks, 100 a second
    std::uint64_t started = 0;  // clock ticks after boot
    // In fork(2) a thread runs, or waits where no signal but a fatal one ends that.
    [[nodiscard]] bool may_fork() const { return state == 'R' || state == 'D'; }
};
[[nodiscard]] std::optional<ThreadStat> parse_thread(std::string_view stat);

// How many clock ticks a fork can run before its child is to be seen, by the page tables that it has to copy: for the
// text of /proc/PID/status. 3 seconds, and 40 us for each KiB, which is ten times what is needed.
[[nodiscard]] std::uint64_t longest_fork(std::string_view status);

// Whether one of the real, effective, saved and file system uids in the text of /proc/PID/status is in `uids`. Nothing:
// the text does not say.
[[nodiscard]] std::optional<bool> is_of(std::string_view status, const std::vector<UidRange>& uids);

}  // namespace iommud::vault
