#include "daemon/monitor/credentials.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "daemon/monitor/direct_mode.hpp"
#include "daemon/monitor/identity.hpp"
#include "tests/unit/monitor/fake_processes.hpp"

namespace iommud::monitor {
namespace {

constexpr std::uint64_t ipc_lock = 1U << 14;

std::string status(const std::string& uids, const std::string& gids, const std::string& inheritable,
                   const std::string& permitted, const std::string& effective, const std::string& ambient) {
    return "Name:\tUid:\nUmask:\t0022\nUid:\t" + uids + "\nGid:\t" + gids + "\nGroups:\t7 \nCapInh:\t" + inheritable +
           "\nCapPrm:\t" + permitted + "\nCapEff:\t" + effective + "\nCapBnd:\t000001ffffffffff\nCapAmb:\t" + ambient +
           "\nNoNewPrivs:\t0\n";
}

Credentials alice() {
    return {.uids = {1000, 1000, 1000, 1000}, .gids = {100, 100, 100, 100}, .capabilities = 0, .effective = 0};
}

TEST(Credentials, AreReadFromTheTextOfAStatusFile) {
    const auto read = parse_credentials(status("1\t2\t3\t4", "5\t6\t7\t8", "1", "2", "4", "8"));

    EXPECT_EQ(read, (Credentials{.uids = {1, 2, 3, 4}, .gids = {5, 6, 7, 8}, .capabilities = 15, .effective = 4}));
}

TEST(Credentials, OfATextThatLacksSomethingAreNone) {
    EXPECT_FALSE(parse_credentials(""));
    EXPECT_FALSE(parse_credentials("Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"));
    EXPECT_FALSE(parse_credentials(status("1\t2\t3", "5\t6\t7\t8", "0", "0", "0", "0")));
    EXPECT_FALSE(parse_credentials(status("1\t2\t3\t4\t5", "5\t6\t7\t8", "0", "0", "0", "0")));
    EXPECT_FALSE(parse_credentials(status("1\t2\t3\t4", "5\t6\t7\t8", "0", "0", "x", "0")));
}

TEST(Credentials, OfOneUserWithoutCapabilitiesAreCounted) {
    EXPECT_TRUE(counted_against(alice(), 1000, 100));
}

class OtherCredentials : public testing::TestWithParam<std::size_t> {};

TEST_P(OtherCredentials, OfAUserOrAGroupAreNot) {
    Credentials user = alice();
    Credentials group = alice();
    user.uids.at(GetParam()) = 0;
    group.gids.at(GetParam()) = 0;

    EXPECT_NE(counted_against(user, 1000, 100).error().message.find("set-uid"), std::string::npos);
    EXPECT_NE(counted_against(group, 1000, 100).error().message.find("set-gid"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(RealEffectiveSavedFile, OtherCredentials, testing::Values(0, 1, 2, 3));

TEST(Credentials, WithIpcLockAreNotCountedByTheKernel) {
    Credentials credentials = alice();
    credentials.capabilities = ipc_lock;

    const auto counted = counted_against(credentials, 1000, 100);

    ASSERT_FALSE(counted);
    EXPECT_EQ(counted.error().code, ErrorCode::access_denied);
    EXPECT_NE(counted.error().message.find("CAP_IPC_LOCK"), std::string::npos);
}

TEST(Credentials, OfThisProcessAreNotAnotherUsers) {
    const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));

    const auto counted = counted_now(self.borrow(), ::getpid(), ::geteuid() + 1, ::getegid());

    ASSERT_FALSE(counted);
    EXPECT_EQ(counted.error().code, ErrorCode::access_denied);
}

TEST(Credentials, OfAProcessThatHasExitedAreNone) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(0);
    }
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);

    const auto counted = counted_now(pidfd.borrow(), child, ::geteuid(), ::getegid());

    ASSERT_FALSE(counted);
    EXPECT_EQ(counted.error().message, "mode direct: the caller has exited");
}

class CallerExits : public testing::TestWithParam<const char*> {};

TEST_P(CallerExits, BetweenTwoLooksAndIsNobody) {
    const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    FakeProcesses table;
    table.exits_at = GetParam();
    // Whatever this process may be, it is refused for having exited, before anything else is said of it.
    const auto counted = counted_now(self.borrow(), ::getpid(), ::geteuid(), ::getegid(), table);

    ASSERT_FALSE(counted);
    EXPECT_EQ(counted.error().message, "mode direct: the caller has exited");
}

INSTANTIATE_TEST_SUITE_P(Looks, CallerExits, testing::Values("/uid_map", "/status"));

// As of connect; what the process is now is looked at after all of these.
Identity connected() {
    Identity who;
    who.uid = 1000;
    who.gid = 100;
    who.pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    who.pid = ::getpid();
    who.initial_user_namespace = true;
    who.credentials = alice();
    return who;
}

std::string refusal(const Identity& who, ErrorCode code, ConnectionKind kind = ConnectionKind::client,
                    bool container = false) {
    const auto given = direct_for(who, kind, container);
    EXPECT_FALSE(given);
    EXPECT_EQ(given.error().code, code);
    return given.error().message;
}

TEST(Direct, IsNotForAPeerWithoutAPidfd) {
    Identity who = connected();
    who.pidfd.reset();

    EXPECT_NE(refusal(who, ErrorCode::unsupported_mode).find("pidfd"), std::string::npos);
}

TEST(Direct, IsNotOnTheSystemBus) {
    EXPECT_NE(refusal(connected(), ErrorCode::unsupported_mode, ConnectionKind::system_bus).find("system bus"),
              std::string::npos);
}

TEST(Direct, IsNotForContainers) {
    EXPECT_NE(refusal(connected(), ErrorCode::unsupported_mode, ConnectionKind::client, true).find("containers"),
              std::string::npos);
}

TEST(Direct, IsNotOutsideOfTheInitialUserNamespace) {
    Identity who = connected();
    who.initial_user_namespace = false;

    EXPECT_NE(refusal(who, ErrorCode::access_denied).find("initial user namespace"), std::string::npos);
}

TEST(Direct, IsNotForWhoWasNotOneUserWhenItConnected) {
    Identity unknown = connected();
    unknown.credentials.reset();
    Identity set_uid = connected();
    set_uid.credentials->uids[0] = 1001;

    EXPECT_NE(refusal(unknown, ErrorCode::access_denied).find("cannot be read"), std::string::npos);
    EXPECT_NE(refusal(set_uid, ErrorCode::access_denied).find("set-uid"), std::string::npos);
}

TEST(Direct, IsNotForWhoHasBecomeAnotherSinceItConnected) {
    Identity who = connected();
    who.uid = ::geteuid() + 1;
    who.credentials->uids.fill(who.uid);

    EXPECT_NE(refusal(who, ErrorCode::access_denied).find("mode direct"), std::string::npos);
}

}  // namespace
}  // namespace iommud::monitor
