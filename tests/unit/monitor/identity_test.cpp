#include "daemon/monitor/identity.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace iommud::monitor {
namespace {

TEST(Groups, AreTakenUpToABoundThatIsNamed) {
    Identity who;
    who.uid = 1000;
    who.take_groups(std::vector<gid_t>(most_groups, 7));

    EXPECT_FALSE(who.too_many_groups());
    EXPECT_EQ(who.groups.size(), most_groups);
}

TEST(Groups, OfTooManyNoneAreKept) {
    Identity who;
    who.uid = 1000;
    who.take_groups(std::vector<gid_t>(65536, 7));

    EXPECT_TRUE(who.too_many_groups());
    EXPECT_TRUE(who.groups.empty());
    EXPECT_EQ(who.groups_refusal(), "uid 1000 has 65536 supplementary groups; who has more than 1024 is given nothing");
}

TEST(OutermostUnit, IsTheServiceAfterTheSlices) {
    EXPECT_EQ(outermost_unit("0::/system.slice/router.service\n"), "router.service");
    EXPECT_EQ(outermost_unit("0::/system.slice/system-getty.slice/getty@tty1.service\n"), "getty@tty1.service");
}

TEST(OutermostUnit, IsNeverOneThatAUserNamed) {
    EXPECT_EQ(outermost_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/router.service\n"),
              "user@1000.service");
}

TEST(OutermostUnit, IsTheUnitAndNotACgroupBelowIt) {
    EXPECT_EQ(outermost_unit("0::/system.slice/docker.service/router.service\n"), "docker.service");
}

TEST(OutermostUnit, IsReadFromSystemdsOwnHierarchyWhereThereAreBoth) {
    EXPECT_EQ(outermost_unit("12:pids:/evil.service\n1:name=systemd:/system.slice/a.service\n0::/\n"), "a.service");
}

TEST(OutermostUnit, IsNoneOutsideOfUnits) {
    EXPECT_EQ(outermost_unit("0::/\n"), std::nullopt);
    EXPECT_EQ(outermost_unit("0::/machine/router.service\n"), std::nullopt);
    EXPECT_EQ(outermost_unit(""), std::nullopt);
}

TEST(UidMap, OfTheInitialNamespaceMapsEveryUidToItself) {
    EXPECT_TRUE(is_initial_uid_map("         0          0 4294967295\n"));
}

TEST(UidMap, OfAnyOtherNamespaceIsNotTheInitialOne) {
    EXPECT_FALSE(is_initial_uid_map("         0     100000      65536\n"));
    EXPECT_FALSE(is_initial_uid_map("         0          0 4294967294\n"));
    EXPECT_FALSE(is_initial_uid_map("         0          0 4294967295\n         1 1 1\n"));
    EXPECT_FALSE(is_initial_uid_map(""));
}

TEST(Identity, OfASocketPairIsThisProcess) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd left(ends[0]);
    const UniqueFd right(ends[1]);

    const Result<Identity> who = identify_peer(left.borrow());

    ASSERT_TRUE(who) << who.error().message;
    EXPECT_EQ(who->uid, ::geteuid());
    EXPECT_EQ(who->pid, ::getpid());
    EXPECT_NE(std::find(who->groups.begin(), who->groups.end(), ::getegid()), who->groups.end());
}

TEST(Identity, OfWhatIsNoSocketIsAnError) {
    EXPECT_FALSE(identify_peer(BorrowedFd(STDIN_FILENO)));
}

}  // namespace
}  // namespace iommud::monitor
