#include "daemon/vault/holder.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "daemon/base/pidfd.hpp"

namespace iommud::vault {
namespace {

bool same(const rlimit& one, const rlimit& other) {
    return one.rlim_cur == other.rlim_cur && one.rlim_max == other.rlim_max;
}

// The number is another process's by now: it keeps what it has made of it since, if anything.
void put_back(pid_t pid, const rlimit& set, const rlimit& before) {
    rlimit now{};
    if (::prlimit(pid, RLIMIT_MEMLOCK, nullptr, &now) == 0 && same(now, set)) {
        static_cast<void>(::prlimit(pid, RLIMIT_MEMLOCK, &before, nullptr));
    }
}

}  // namespace

// prlimit(2) takes a number, which may be another process's by then (C7): it is this one's if the process runs before
// and after.
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
        put_back(number->pid, wanted, before);
        return gone();
    }
    return before;
}

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
    set_ = bytes;
    return {};
}

void Holder::had_at_most(rlim_t own) {
    before_ = {std::min(before_.rlim_cur, own), std::min(before_.rlim_max, own)};
}

void Holder::restore() {
    const auto number = number_of(pidfd_.borrow());
    rlimit now{};
    if (!limited_ || !number || ::prlimit(number->pid, RLIMIT_MEMLOCK, nullptr, &now) != 0) {
        return;  // it never lost anything, or has exited
    }
    rlimit wanted = before_;
    if (now.rlim_cur != set_ || now.rlim_max != set_) {
        wanted = {std::min(before_.rlim_cur, now.rlim_cur), std::min(before_.rlim_max, now.rlim_max)};
    }
    static_cast<void>(set_memlock(pidfd_.borrow(), wanted));
}

void Holder::kill() const {
    static_cast<void>(::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0));  // or it has exited
}

}  // namespace iommud::vault
