#include "daemon/monitor/administrator.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/monitor/fake_processes.hpp"

namespace iommud::monitor {
namespace {

constexpr RootEvidence all{.uid_0 = true,
                           .initial_user_namespace = true,
                           .own_pid_namespace = true,
                           .host_mount_namespace = true,
                           .all_capabilities = true};

TEST(Administrator, IsTheHostsRoot) {
    EXPECT_FALSE(no_administrator(all));
}

TEST(Administrator, IsNobodyOfWhomNothingIsKnown) {
    EXPECT_TRUE(no_administrator({}));
    EXPECT_TRUE(no_administrator({.uid_0 = true}));
}

TEST(Administrator, IsNobodyButUid0) {
    RootEvidence evidence = all;
    evidence.uid_0 = false;

    EXPECT_TRUE(no_administrator(evidence));
    EXPECT_TRUE(no_host_root(evidence));
}

TEST(Administrator, IsNotInAPidNamespaceOfItsOwn) {
    RootEvidence evidence = all;
    evidence.own_pid_namespace = false;

    EXPECT_TRUE(no_administrator(evidence));
    EXPECT_TRUE(no_host_root(evidence)) << "nor is it uid 0 of the host at the host's socket";
}

TEST(Administrator, IsNotInAUserNamespaceOfItsOwn) {
    RootEvidence evidence = all;
    evidence.initial_user_namespace = false;

    EXPECT_TRUE(no_administrator(evidence));
}

TEST(Administrator, IsInTheHostsMountNamespaceOrHasAllCapabilities) {
    RootEvidence confined = all;
    confined.all_capabilities = false;
    RootEvidence elsewhere = all;
    elsewhere.host_mount_namespace = false;
    RootEvidence container = confined;
    container.host_mount_namespace = false;

    EXPECT_FALSE(no_administrator(confined));
    EXPECT_FALSE(no_administrator(elsewhere));
    EXPECT_TRUE(no_administrator(container));
}

TEST(FirstMount, IsTheFirstNumberOfTheText) {
    EXPECT_EQ(first_mount("23 28 0:22 / / rw shared:1 - ext4 /dev/sda rw\n24 23 0:6 / /dev rw - devtmpfs d rw\n"), 23);
    EXPECT_FALSE(first_mount(""));
    EXPECT_FALSE(first_mount("23"));
    EXPECT_FALSE(first_mount("x 28\n"));
}

std::string status(const char* effective, const char* namespaces) {
    return std::string("Name:\tsh\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nNSpid:\t") + namespaces +
           "\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t" + effective + "\nCapBnd:\t1ff\nCapAmb:\t0\n";
}

// Process 4711, uid 0, in the host's namespaces and without a capability; the pidfd is this process's own.
class Evidence : public testing::Test {
  protected:
    Evidence() {
        who.uid = 0;
        who.pid = 4711;
        who.pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
        who.initial_user_namespace = true;
        who.own_pid_namespace = true;
        table.files = {{"/proc/1/status", status("1ff", "1")},
                       {"/proc/1/mountinfo", "23 28 0:22 / / rw - ext4 /dev/sda rw\n"},
                       {"/proc/4711/status", status("0", "4711")},
                       {"/proc/4711/mountinfo", "23 28 0:22 / / rw - ext4 /dev/sda rw\n"},
                       {"/proc/4711/uid_map", "         0          0 4294967295\n"}};
    }
    [[nodiscard]] bool administers() const { return !no_administrator(evidence_of(who, table)); }

    Identity who;
    FakeProcesses table;
};

TEST_F(Evidence, IsTheFirstProcesssMountNamespace) {
    EXPECT_TRUE(administers());
    table.files["/proc/4711/mountinfo"] = "823 28 0:22 / / rw - ext4 /dev/sda rw\n";
    EXPECT_FALSE(administers());
    table.files["/proc/4711/mountinfo"] = table.files["/proc/1/mountinfo"] = "";
    EXPECT_FALSE(administers()) << "what cannot be read is not the same";
}

TEST_F(Evidence, IsEveryCapabilityThatTheFirstProcessHas) {
    table.files["/proc/4711/mountinfo"] = "823 28 0:22 / / rw - ext4 /dev/sda rw\n";
    table.files["/proc/4711/status"] = status("3ff", "4711");
    EXPECT_TRUE(administers());
    table.files["/proc/4711/status"] = status("1fe", "4711");
    EXPECT_FALSE(administers());
    table.files["/proc/1/status"] = status("0", "1");
    EXPECT_FALSE(administers()) << "none is not all";
}

TEST_F(Evidence, OfAProcessThatExitsMeanwhileIsNone) {
    for (const char* file : {"/proc/4711/status", "/proc/4711/mountinfo"}) {
        FakeProcesses exits;
        exits.files = table.files;
        exits.exits_at = file;

        EXPECT_TRUE(no_administrator(evidence_of(who, exits))) << file;
    }
}

TEST_F(Evidence, WithoutAPidfdIsWhatTheNumberSays) {
    who.pidfd.reset();
    who.initial_user_namespace = false;  // not known
    who.own_pid_namespace = false;

    EXPECT_TRUE(administers());
    table.files["/proc/4711/uid_map"] = "         0     100000      65536\n";
    EXPECT_FALSE(administers()) << "a user namespace's root";
    table.files["/proc/4711/uid_map"] = "         0          0 4294967295\n";
    table.files["/proc/4711/status"] = status("1ff", "4711\t1");
    EXPECT_FALSE(administers()) << "a container's";
    EXPECT_TRUE(no_host_root(evidence_of(who, table)));
    table.files.clear();
    who.pid = -1;
    EXPECT_FALSE(administers()) << "nobody's";
}

}  // namespace
}  // namespace iommud::monitor
