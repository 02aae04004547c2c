// One probe for each forbidden act in each process: it dies of SIGSYS. A probe that does nothing lives.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ostream>
#include <string>
#include <vector>

namespace {

struct Case {
    std::string list;
    std::string act;
};

void PrintTo(const Case& one, std::ostream* out) {
    *out << one.act << " under " << one.list;
}

int run_probe(const Case& one) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::execl(IOMMUD_PROBE, "probe", one.list.c_str(), one.act.c_str(), nullptr);
        ::_exit(127);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return status;
}

std::vector<Case> all(const std::vector<std::string>& lists, const std::vector<std::string>& acts) {
    std::vector<Case> cases;
    for (const std::string& list : lists) {
        for (const std::string& act : acts) {
            cases.push_back({list, act});
        }
    }
    return cases;
}

class Forbidden : public testing::TestWithParam<Case> {};

TEST_P(Forbidden, KillsTheProcess) {
    const int status = run_probe(GetParam());

    ASSERT_TRUE(WIFSIGNALED(status)) << "it lived, and exited " << WEXITSTATUS(status);
    EXPECT_EQ(WTERMSIG(status), SIGSYS);
}

class Allowed : public testing::TestWithParam<Case> {};

TEST_P(Allowed, LetsTheProcessLive) {
    const int status = run_probe(GetParam());

    ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 42);
}

std::string name_of(const testing::TestParamInfo<Case>& one) {
    return one.param.list + "_" + one.param.act;
}

const std::vector<std::string> every_list{"vault",  "monitor",          "worker",           "bus_worker",
                                          "keeper", "keeper_container", "keeper_simulated", "undertaker"};
const std::vector<std::string> children{"worker",           "bus_worker",       "keeper",
                                        "keeper_container", "keeper_simulated", "undertaker"};

// Nobody: neither the root code nor what it starts ever has a use for these.
INSTANTIATE_TEST_SUITE_P(Everywhere, Forbidden,
                         testing::ValuesIn(all(every_list, {"ptrace",
                                                            "process_vm_readv",
                                                            "process_vm_writev",
                                                            "mount",
                                                            "fsopen",
                                                            "pivot_root",
                                                            "chroot",
                                                            "unshare",
                                                            "setns",
                                                            "clone_user_namespace",
                                                            "clone3",
                                                            "vfork",
                                                            "exec_descriptor",
                                                            "socket_inet",
                                                            "socket_packet",
                                                            "socket_netlink",
                                                            "pidfd_getfd",
                                                            "ioctl_outside",
                                                            "ioctl_outside_upper_bits",
                                                            "ioctl_terminal_input",
                                                            "ioctl_iommu_test",
                                                            "ioctl_map_file",
                                                            "fcntl_lease",
                                                            "fcntl_owner",
                                                            "setpriority",
                                                            "sched_setaffinity",
                                                            "sched_setscheduler",
                                                            "bpf",
                                                            "perf_event_open",
                                                            "keyctl",
                                                            "add_key",
                                                            "userfaultfd",
                                                            "io_uring_setup",
                                                            "init_module",
                                                            "kexec_load",
                                                            "reboot",
                                                            "swapon",
                                                            "settimeofday",
                                                            "sethostname",
                                                            "quotactl",
                                                            "acct",
                                                            "iopl",
                                                            "personality",
                                                            "open_by_handle_at",
                                                            "mknod",
                                                            "chown",
                                                            "chmod",
                                                            "create",
                                                            "splice_passed",
                                                            "sendfile_passed",
                                                            "pwrite_passed"})),
                         name_of);

// The monitor decides and opens nothing to write, starts nothing, signals nobody, and connects to nobody: it makes the
// sockets that containers connect to.
INSTANTIATE_TEST_SUITE_P(Monitor, Forbidden,
                         testing::ValuesIn(all({"monitor"}, {"open_to_write",
                                                             "open_old",
                                                             "unlink",
                                                             "rename",
                                                             "fork",
                                                             "fork_old",
                                                             "exec",
                                                             "connect",
                                                             "kill",
                                                             "tgkill",
                                                             "pidfd_send_signal",
                                                             "prlimit",
                                                             "setrlimit",
                                                             "setuid",
                                                             "setresuid",
                                                             "setgroups",
                                                             "capset",
                                                             "seccomp",
                                                             "mmap_executable",
                                                             "mprotect_executable"})),
                         name_of);

// Children open nothing, start nothing, reach nobody, and do not look into what they are passed.
INSTANTIATE_TEST_SUITE_P(Children, Forbidden,
                         testing::ValuesIn(all(children, {"open",
                                                          "open_to_write",
                                                          "open_old",
                                                          "unlink",
                                                          "rename",
                                                          "fork",
                                                          "fork_old",
                                                          "exec",
                                                          "socket_unix",
                                                          "connect",
                                                          "bind",
                                                          "kill",
                                                          "tgkill",
                                                          "pidfd_open",
                                                          "pidfd_send_signal",
                                                          "prlimit",
                                                          "setrlimit",
                                                          "setuid",
                                                          "setresuid",
                                                          "setgroups",
                                                          "capset",
                                                          "prctl_dumpable",
                                                          "seccomp",
                                                          "read_passed",
                                                          "pread_passed",
                                                          "write_passed",
                                                          "mmap_executable",
                                                          "mmap_passed_executable",
                                                          "mprotect_executable"})),
                         name_of);

// Except the two keepers that map by address, into an arena and at fixed places only (hazard C1).
INSTANTIATE_TEST_SUITE_P(MapNothing, Forbidden, testing::ValuesIn(all(children, {"mmap_passed"})), name_of);

INSTANTIATE_TEST_SUITE_P(Everywhere, Allowed, testing::ValuesIn(all(every_list, {"live"})), name_of);

}  // namespace
