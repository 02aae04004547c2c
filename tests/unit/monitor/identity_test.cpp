#include "daemon/monitor/identity.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "tests/unit/monitor/fake_processes.hpp"

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

// ---- what is looked up by number counts only if it was still that process (I3)

class Peer : public testing::Test {
  protected:
    Peer() {
        std::array<int, 2> ends{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0) {
            left = UniqueFd(ends[0]);
            right = UniqueFd(ends[1]);
        }
        // On kernels without SO_PEERPIDFD too, as this machine's may be.
        table.number = ::getpid();
    }
    [[nodiscard]] Result<Identity> identified() const { return identify_peer(left.borrow(), table); }

    UniqueFd left;
    UniqueFd right;
    class OwnPidfd : public FakeProcesses {
      public:
        [[nodiscard]] UniqueFd peer_pidfd(BorrowedFd socket) const override {
            return has_pidfds ? UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)))
                              : FakeProcesses::peer_pidfd(socket);
        }
    } table;
};

TEST_F(Peer, ThatRunsIsIdentified) {
    table.files[fmt::format("/proc/{}/cgroup", ::getpid())] = "0::/system.slice/a.service\n";
    const auto who = identified();

    ASSERT_TRUE(who);
    EXPECT_EQ(who->unit, "a.service");
    EXPECT_EQ(who->cgroup, "/system.slice/a.service");
    EXPECT_TRUE(who->own_pid_namespace);
    EXPECT_TRUE(who->credentials);
}

TEST_F(Peer, InAPidNamespaceBelowIsNotInOurs) {
    table.nested = true;

    EXPECT_FALSE(identified()->own_pid_namespace);
}

class PeerExits : public Peer, public testing::WithParamInterface<const char*> {};

TEST_P(PeerExits, BetweenTwoLooksAndIsNobody) {
    table.exits_at = GetParam();

    const auto who = identified();

    ASSERT_FALSE(who) << "what was read after that may be another process's";
    EXPECT_EQ(who.error().message, "the peer has exited");
}

INSTANTIATE_TEST_SUITE_P(Looks, PeerExits, testing::Values("/cgroup", "/uid_map", "/status"));

// ---- kernels without SO_PEERPIDFD (I2)

TEST_F(Peer, WithoutAPidfdIsAUidAndGroupsAndNoMore) {
    table.has_pidfds = false;

    const auto who = identified();

    ASSERT_TRUE(who);
    EXPECT_EQ(who->uid, ::geteuid());
    EXPECT_FALSE(who->pidfd.valid());
    EXPECT_FALSE(who->unit);
    EXPECT_TRUE(who->cgroup.empty());
    EXPECT_FALSE(who->credentials);
    EXPECT_FALSE(who->initial_user_namespace) << "not known is not the initial one";
    EXPECT_FALSE(who->own_pid_namespace) << "nor ours";
}

TEST_F(Peer, WhosePidfdTheKernelRefusesIsNobody) {
    class Refuses : public FakeProcesses {
      public:
        [[nodiscard]] UniqueFd peer_pidfd(BorrowedFd) const override {
            errno = EINVAL;  // as 6.12 says of a peer that was reaped
            return {};
        }
    };

    EXPECT_FALSE(identify_peer(left.borrow(), Refuses()));
}

TEST(OwnPidNamespace, HasOneNumberForTheProcess) {
    EXPECT_TRUE(in_own_pid_namespace("Name:\tsh\nNSpid:\t17\nNSpgid:\t17\t1\n"));
    EXPECT_FALSE(in_own_pid_namespace("Name:\tsh\nNSpid:\t17\t1\nNSpgid:\t17\n"));
    EXPECT_FALSE(in_own_pid_namespace("NSpid:\t\n"));
    EXPECT_FALSE(in_own_pid_namespace(""));
    EXPECT_FALSE(in_own_pid_namespace("Name:\tNSpid:\t17\n"));
}

}  // namespace
}  // namespace iommud::monitor
