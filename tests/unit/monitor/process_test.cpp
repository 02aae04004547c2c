#include "daemon/monitor/process.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "daemon/monitor/cgroup.hpp"
#include "tests/unit/monitor/fake_processes.hpp"

namespace iommud::monitor {
namespace {

TEST(PidfdInfo, NamesTheProcess) {
    const auto number =
        parse_pidfd_info("pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1054\nPid:\t4711\nNSpid:\t4711\n");

    ASSERT_TRUE(number);
    EXPECT_EQ(number->pid, 4711);
    EXPECT_FALSE(number->nested);
}

TEST(PidfdInfo, TellsAPidNamespaceBelowOurs) {
    EXPECT_TRUE(parse_pidfd_info("Pid:\t4711\nNSpid:\t4711\t1\n")->nested);
}

TEST(PidfdInfo, OfAReapedProcessIsNone) {
    EXPECT_FALSE(parse_pidfd_info("Pid:\t-1\nNSpid:\t-1\n"));
    EXPECT_FALSE(parse_pidfd_info("Pid:\t0\n"));
    EXPECT_FALSE(parse_pidfd_info("NSpid:\t4711\n"));
    EXPECT_FALSE(parse_pidfd_info(""));
}

TEST(StartTime, IsTheTwentySecondField) {
    EXPECT_EQ(start_time("17 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 123456 20 21"), 123456U);
}

TEST(StartTime, IsNotWhatTheProcessCallsItself) {
    EXPECT_EQ(start_time("17 (a) S 1 2) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 99 20"), 99U);
}

TEST(StartTime, OfRubbishIsNone) {
    EXPECT_FALSE(start_time(""));
    EXPECT_FALSE(start_time("17 sh S 1"));
    EXPECT_FALSE(start_time("17 (sh) S 1 2 3"));
    EXPECT_FALSE(start_time("17 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20"));
}

TEST(Init, IsKnownAgainByNumberAndStart) {
    const auto first = look_at_init(::getpid());
    const auto second = look_at_init(::getpid());

    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->start, second->start);
}

TEST(Init, ThatHasExitedIsNone) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(0);
    }
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);

    EXPECT_FALSE(look_at_init(child)) << "a zombie runs no more";
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_FALSE(look_at_init(child)) << "nor does one that was reaped";
}

class InitExits : public testing::TestWithParam<const char*> {};

TEST_P(InitExits, BetweenTwoLooksAndIsNone) {
    FakeProcesses table;
    table.number = ::getpid();
    table.files[fmt::format("/proc/{}/cgroup", ::getpid())] = "0::/containers/web\n";
    ASSERT_TRUE(look_at_init(::getpid(), table));
    table.exits_at = GetParam();

    EXPECT_FALSE(look_at_init(::getpid(), table)) << "what was read after that may be another process's";
}

INSTANTIATE_TEST_SUITE_P(Looks, InitExits, testing::Values("/stat", "/cgroup", "/containers/web"));

TEST(Init, IsNoNumberThatNoProcessHas) {
    EXPECT_FALSE(look_at_init(0));
    EXPECT_FALSE(look_at_init(-1));
}

TEST(UnifiedPath, IsTheOnlyLine) {
    EXPECT_EQ(unified_path("0::/system.slice/a.service\n"), "/system.slice/a.service");
    EXPECT_EQ(unified_path("0::/\n"), "/");
}

TEST(UnifiedPath, IsNoneBesideVersionOne) {
    EXPECT_EQ(unified_path("12:pids:/a\n0::/b\n"), "");
    EXPECT_EQ(unified_path("0::/b\n12:pids:/a\n"), "");
    EXPECT_EQ(unified_path("12:pids:/a\n"), "");
    EXPECT_EQ(unified_path("0::/a"), "");
    EXPECT_EQ(unified_path(""), "");
}

TEST(CgroupIds, AreNotThoseOfAnOrdinaryFolder) {
    const auto ids = cgroup_ids("/usr", "");

    ASSERT_FALSE(ids);
    EXPECT_EQ(ids.error().code, ErrorCode::kernel_unsupported);
}

TEST(CgroupIds, AreNotLookedForInTheDeep) {
    std::string path;
    for (int level = 0; level < 2000; ++level) {
        path += "/a";
    }
    const auto ids = cgroup_ids(path);

    ASSERT_FALSE(ids);
    EXPECT_EQ(ids.error().message, "the cgroup lies deeper than 32 levels");
}

TEST(CgroupIds, OfTheRootOrOutsideAreNone) {
    EXPECT_FALSE(cgroup_ids("/"));
    EXPECT_FALSE(cgroup_ids(""));
    EXPECT_FALSE(cgroup_ids("/../a"));
    EXPECT_FALSE(cgroup_ids("/a/.."));
}

}  // namespace
}  // namespace iommud::monitor
