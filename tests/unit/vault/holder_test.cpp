#include "daemon/vault/holder.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "daemon/base/pidfd.hpp"
#include "daemon/vault/holdings.hpp"

namespace iommud::vault {
namespace {

// Runs until it is killed, and at the latest with the test.
class Process {
  public:
    Process() : pid_(::fork()) {
        if (pid_ == 0) {
            ::pause();
            ::_exit(0);
        }
    }
    ~Process() { end(); }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void end() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
            pid_ = -1;
        }
    }
    [[nodiscard]] UniqueFd pidfd() const { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0))); }
    [[nodiscard]] Holder holder(uid_t uid = 1000) const { return {pidfd(), uid}; }
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] rlimit memlock() const {
        rlimit limit{};
        ::prlimit(pid_, RLIMIT_MEMLOCK, nullptr, &limit);
        return limit;
    }

  private:
    pid_t pid_;
};

TEST(Holder, GetsALimitSoftAndHard) {
    const Process process;
    Holder holder = process.holder();

    ASSERT_TRUE(holder.limit(8192, nullptr));

    EXPECT_EQ(process.memlock().rlim_cur, 8192U);
    EXPECT_EQ(process.memlock().rlim_max, 8192U);
}

TEST(Holder, ThatHasExitedGetsNone) {
    Process process;
    Holder holder = process.holder();
    process.end();

    const auto limited = holder.limit(8192, nullptr);

    ASSERT_FALSE(limited);
    EXPECT_EQ(limited.error().code, ErrorCode::access_denied);
}

TEST(Holder, IsAnotherOfTheSameProcessWhileItRuns) {
    Process process;
    const Process other;
    const Holder holder = process.holder();

    EXPECT_TRUE(holder.is(process.holder()));
    EXPECT_FALSE(holder.is(other.holder()));
    const Holder same = process.holder();
    process.end();
    EXPECT_FALSE(holder.is(same));
}

TEST(Holder, IsKilled) {
    const Process process;
    const UniqueFd pidfd = process.pidfd();

    process.holder().kill();

    pollfd waiting{pidfd.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&waiting, 1, 10'000), 1);
    EXPECT_FALSE(still_runs(pidfd.borrow()));
}

TEST(Holder, ThatLoweredItsLimitGetsNothingBack) {
    const Process process;
    Holder holder = process.holder();
    ASSERT_TRUE(holder.limit(65536, nullptr));
    const rlimit own{4096, 8192};
    ASSERT_EQ(::prlimit(process.pid(), RLIMIT_MEMLOCK, &own, nullptr), 0);

    holder.restore();

    EXPECT_EQ(process.memlock().rlim_cur, 4096U);
    EXPECT_EQ(process.memlock().rlim_max, 8192U);
}

TEST(Holder, WhoseLimitWasInheritedIsGivenBackWhatItsUserHad) {
    const Process process;
    Holder holder = process.holder();
    ASSERT_TRUE(holder.limit(65536, nullptr));

    holder.had_at_most(8192);
    holder.restore();

    EXPECT_EQ(process.memlock().rlim_cur, 8192U);
    EXPECT_EQ(process.memlock().rlim_max, 8192U);
}

TEST(Holdings, AUserMayLockWhatItsDirectLeasesHaveReserved) {
    Holdings holdings;
    const Process process;
    for (const auto& [id, uid, reserve] : {std::tuple{1, 1000, 4096}, {2, 1001, 8192}, {3, 1000, 16384}}) {
        Lease& lease = holdings.leases[static_cast<LeaseId>(id)];
        lease.holder.emplace(process.pidfd(), static_cast<uid_t>(uid));
        lease.start.reserve = static_cast<std::uint64_t>(reserve);
    }
    holdings.leases[4].start.reserve = 1 << 20;  // managed

    EXPECT_EQ(holdings.direct_reserve(1000), 4096U + 16384U);
    EXPECT_EQ(holdings.direct_reserve(1001), 8192U);
    EXPECT_EQ(holdings.direct_reserve(1002), 0U);
}

TEST(Holdings, AUserHasADirectLeaseUntilItHasSettled) {
    Holdings holdings;
    const Process process;
    Lease& lease = holdings.leases[1];
    lease.holder.emplace(process.pidfd(), 1000);
    EXPECT_TRUE(holdings.has_direct(1000));
    EXPECT_FALSE(holdings.has_direct(1001));

    lease.holder.reset();
    lease.settles = 1000;
    EXPECT_TRUE(holdings.has_direct(1000));

    holdings.leases.clear();
    EXPECT_FALSE(holdings.has_direct(1000));
}

}  // namespace
}  // namespace iommud::vault
