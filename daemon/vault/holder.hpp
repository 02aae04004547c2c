// The process that holds a direct lease, and maps by itself: the kernel compares what its user has pinned with this
// process's own RLIMIT_MEMLOCK.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::vault {

// Sets the RLIMIT_MEMLOCK of the process behind `pidfd`; what it had. Whoever else has got its number meanwhile gets
// back what it had (C7), if it has not changed that itself. Error: access_denied, the process has exited.
[[nodiscard]] Result<rlimit> set_memlock(BorrowedFd pidfd, const rlimit& wanted);

class Holder {
  public:
    // Does nothing yet.
    Holder(UniqueFd pidfd, uid_t uid) : pidfd_(std::move(pidfd)), uid_(uid) {}

    [[nodiscard]] uid_t uid() const { return uid_; }
    [[nodiscard]] bool is(const Holder& other) const;  // the same process, which still runs

    // RLIMIT_MEMLOCK, soft and hard. The first time it keeps what the process had; `like`: or what that one has kept of
    // the same process. Error: access_denied, it has exited, and nobody has got another limit.
    [[nodiscard]] Result<void> limit(std::uint64_t bytes, const Holder* like);
    // What the process had before, and is given back, was given to its like by us: it had `own` by itself.
    void had_at_most(rlim_t own);
    // Gives back what the process had, if it runs and ever lost it; never more than it has now, when it has changed
    // that.
    void restore();
    // What it had before the first limit().
    [[nodiscard]] const rlimit& before() const { return before_; }
    void kill() const;

  private:
    UniqueFd pidfd_;
    uid_t uid_;
    rlimit before_{};
    rlim_t set_ = 0;  // last
    bool limited_ = false;
};

}  // namespace iommud::vault
