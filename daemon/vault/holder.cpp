#include "daemon/vault/holder.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "daemon/base/pidfd.hpp"

namespace iommud::vault {
namespace {

// prlimit(2) takes a number, which may be another process's by then (C7): it is this one's if the process runs before
// and after; if not, whoever has it gets back what it had.
Result<rlimit> set_memlock(BorrowedFd pidfd, const rlimit& wanted) {
    const auto gone = [] { return fail(ErrorCode::access_denied, "mode direct: the caller has exited"); };
    const auto number = number_of(pidfd);
    if (!number || !still_runs(pidfd)) {
        return gone();
    }
    rlimit before{};
    if (::prlimit(number->pid, RLIMIT_MEMLOCK, &wanted, &before) != 0) {
        return errno == ESRCH ? gone()
                              : fail(ErrorCode::internal, errno_message("set the caller's RLIMIT_MEMLOCK", errno));
    }
    if (!still_runs(pidfd)) {
        static_cast<void>(::prlimit(number->pid, RLIMIT_MEMLOCK, &before, nullptr));
        return gone();
    }
    return before;
}

}  // namespace

bool Holder::is(const Holder& other) const {
    const auto mine = number_of(pidfd_.borrow());
    const auto others = number_of(other.pidfd_.borrow());
    return mine && others && mine->pid == others->pid && still_runs(pidfd_.borrow()) &&
           still_runs(other.pidfd_.borrow());
}

Result<void> Holder::limit(std::uint64_t bytes, const Holder* like) {
    const auto before = set_memlock(pidfd_.borrow(), {bytes, bytes});
    if (!before) {
        return tl::unexpected(before.error());
    }
    if (!limited_) {
        before_ = like != nullptr && like->limited_ ? like->before_ : *before;
        limited_ = true;
    }
    return {};
}

void Holder::restore() {
    if (limited_) {
        static_cast<void>(set_memlock(pidfd_.borrow(), before_));  // or it has exited
    }
}

void Holder::kill() const {
    static_cast<void>(::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0));  // or it has exited
}

}  // namespace iommud::vault
