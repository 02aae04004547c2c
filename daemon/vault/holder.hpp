// The process that holds a direct lease, and maps by itself: the kernel compares what its user has pinned with this
// process's own RLIMIT_MEMLOCK.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::vault {

class Holder {
  public:
    // Does nothing yet.
    Holder(UniqueFd pidfd, uid_t uid) : pidfd_(std::move(pidfd)), uid_(uid) {}

    [[nodiscard]] uid_t uid() const { return uid_; }
    [[nodiscard]] bool is(const Holder& other) const;  // the same process, which still runs

    // RLIMIT_MEMLOCK, soft and hard. The first time it keeps what the process had; `like`: or what that one has kept of
    // the same process. Error: access_denied, it has exited, and nobody has got another limit.
    [[nodiscard]] Result<void> limit(std::uint64_t bytes, const Holder* like);
    // Gives back what the process had, if it runs and ever lost it.
    void restore();
    void kill() const;

  private:
    UniqueFd pidfd_;
    uid_t uid_;
    rlimit before_{};
    bool limited_ = false;
};

}  // namespace iommud::vault
