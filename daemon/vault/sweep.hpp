// A limit that was raised is inherited (hazard C30): who was forked while a direct lease was held keeps its
// RLIMIT_MEMLOCK. A sweep takes that back from every process of the user. For a forked child of the vault: it reads all
// of /proc.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

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

// Lowers all limits that are too high, until passes through /proc find none for a quarter of a second. False: there
// were some in every pass, as when they fork faster than they are found; or /proc cannot be read.
[[nodiscard]] bool lower_all(const Sweep& sweep);

// Whether one of the real, effective, saved and file system uids in the text of /proc/PID/status is in `uids`. Nothing:
// the text does not say.
[[nodiscard]] std::optional<bool> is_of(std::string_view status, const std::vector<UidRange>& uids);

}  // namespace iommud::vault
