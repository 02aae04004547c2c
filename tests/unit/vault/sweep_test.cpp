// Whose processes a sweep looks at, and which limits it takes back; tests/vm/cases/direct.sh has the rest.
#include "daemon/vault/sweep.hpp"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "daemon/base/bytes.hpp"

namespace iommud::vault {
namespace {

const std::vector<UidRange> alice{{1000, 1000}, {100000, 165535}};

std::string status(const char* uids) {
    return std::string("Name:\tbash\nUmask:\t0022\nUid:") + uids + "\nGid:\t1000\t1000\t1000\t1000\n";
}

TEST(Sweep, IsOfTheProcessesThatHaveOneOfTheUids) {
    EXPECT_EQ(is_of(status("\t1000\t1000\t1000\t1000"), alice), true);
    EXPECT_EQ(is_of(status("\t0\t0\t1000\t0"), alice), true);
    EXPECT_EQ(is_of(status("\t165535\t0\t0\t0"), alice), true);
    EXPECT_EQ(is_of(status("\t1001\t999\t99999\t165536"), alice), false);
}

TEST(Sweep, TakesNothingForAnAnswerThatIsNone) {
    EXPECT_EQ(is_of("", alice), std::nullopt);
    EXPECT_EQ(is_of("Name:\tUid:\t1000\n", alice), std::nullopt);
    EXPECT_EQ(is_of(status("\t1000"), alice), std::nullopt);
    EXPECT_EQ(is_of(status("\tx\t1000\t1000\t1000"), alice), std::nullopt);
}

TEST(Sweep, TakesBackWhatIsAboveTheUsersOwnAndNotAboveWhatWasGiven) {
    const Sweep sweep{1000, 8 * MiB, 11 * MiB};

    EXPECT_FALSE(sweep.too_high({8 * MiB, 8 * MiB}));
    EXPECT_TRUE(sweep.too_high({0, 8 * MiB + 1}));
    EXPECT_TRUE(sweep.too_high({11 * MiB, 11 * MiB}));
    EXPECT_FALSE(sweep.too_high({11 * MiB, 11 * MiB + 1}));
    EXPECT_FALSE(sweep.too_high({RLIM_INFINITY, RLIM_INFINITY}));
}

TEST(Sweep, AThreadIsReadBehindANameOfAnyCharacters) {
    const std::string rest = " 1 2 3 0 -1 4194560 10 0 0 0 70 25 0 0 20 0 1 0 12345 1000 20 18446744073709551615 1 1";

    const auto running = parse_thread("7 (a) S (b) R" + rest);
    const auto waiting = parse_thread("7 (sh) D" + rest);
    const auto sleeping = parse_thread("7 (sh) S" + rest);

    ASSERT_TRUE(running && waiting && sleeping);
    EXPECT_EQ(running->ran, 95U);
    EXPECT_EQ(running->started, 12345U);
    EXPECT_TRUE(running->may_fork());
    EXPECT_TRUE(waiting->may_fork());
    EXPECT_FALSE(sleeping->may_fork());
}

TEST(Sweep, WhatIsNoThreadsTextIsNone) {
    for (const char* text : {"", "7 (sh)", "7 (sh) ", "7 (sh) R", "7 (sh) R 1 2 x", "7 sh R 1 2 3"}) {
        EXPECT_FALSE(parse_thread(text)) << text;
    }
}

TEST(Sweep, AForkTakesLongerTheMoreItHasToCopy) {
    EXPECT_EQ(longest_fork("Name:\tx\nVmPTE:\t     128 kB\nVmSwap:\t 0 kB\n"), 300U);
    EXPECT_EQ(longest_fork("Name:\tx\nVmPTE:\t 1048576 kB\n"), 300U + 4096U);
    EXPECT_EQ(longest_fork("Name:\tVmPTE: 7\n"), 300U);
}

TEST(Sweep, UidsAreTheUsersOwnAndItsSubordinateOnes) {
    const auto uids = uids_of(1000, "root:x:0:0::\nalice:x:1000:1000::\nbob:x:1001:1001::\n",
                              "bob:300000:10\nalice:100000:65536\n1000:500:1\n1001:600:1\nalice:rubbish\n");

    ASSERT_EQ(uids.size(), 3U);
    EXPECT_EQ(uids[0].first, 1000U);
    EXPECT_EQ(uids[1].first, 100000U);
    EXPECT_EQ(uids[1].last, 165535U);
    EXPECT_EQ(uids[2].first, 500U);
    EXPECT_EQ(uids[2].last, 500U);
}

// With a limit that nothing else on the machine has, so that nobody else's process is touched.
TEST(Sweep, LowersEveryProcessAndThenFindsNone) {
    constexpr rlim_t given = 5 * MiB + 12288;
    std::array<pid_t, 3> children{};
    for (pid_t& child : children) {
        child = ::fork();
        if (child == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::pause();
            ::_exit(0);
        }
        const rlimit limit{given, given};
        ASSERT_EQ(::prlimit(child, RLIMIT_MEMLOCK, &limit, nullptr), 0);
    }

    EXPECT_TRUE(lower_all({::getuid(), given - 4096, given}));

    for (const pid_t child : children) {
        rlimit now{};
        EXPECT_EQ(::prlimit(child, RLIMIT_MEMLOCK, nullptr, &now), 0);
        EXPECT_EQ(now.rlim_max, given - 4096);
        EXPECT_EQ(now.rlim_cur, given - 4096);
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
    }
}

// Its parent may never take notice of its end, and it will never have another limit.
TEST(Sweep, IsDoneWithAProcessThatHasExitedAndIsNotReaped) {
    constexpr rlim_t given = 5 * MiB + 16384;
    const pid_t child = ::fork();
    if (child == 0) {
        ::pause();
        ::_exit(0);
    }
    const rlimit limit{given, given};
    ASSERT_EQ(::prlimit(child, RLIMIT_MEMLOCK, &limit, nullptr), 0);
    ::kill(child, SIGKILL);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);

    EXPECT_TRUE(lower_all({::getuid(), given - 4096, given}));

    ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace iommud::vault
