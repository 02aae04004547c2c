// probe LIST ACT: puts itself under the list's filter, does one forbidden thing, and, should it live, says so by 42.
// Every call is made with syscall(2) directly: it is the kernel's answer that counts, not the C library's.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <iterator>
#include <string_view>

#include "daemon/sandbox/all_filters.hpp"
#include "daemon/sandbox/seccomp.hpp"

namespace {

constexpr int survived = 42;
constexpr int passed_fd = 20;  // a memfd that somebody sent us

template <class... Arguments>
void call(long number, Arguments... arguments) {
    static_cast<void>(::syscall(number, arguments...));
}

struct Act {
    std::string_view name;
    void (*commit)();
};

// Four zero pages, for whatever wants a pointer to something harmless.
alignas(4096) std::array<char, 16384> zeroes{};

const Act acts[] = {
    {"live", [] {}},  // not forbidden: shows that a probe lives when it does nothing
    {"open", [] { call(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0); }},
    {"open_to_write", [] { call(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY, 0); }},
    {"open_old", [] { call(SYS_open, "/dev/null", O_RDWR, 0); }},
    {"create", [] { call(SYS_creat, "/dev/null", 0); }},
    {"unlink", [] { call(SYS_unlinkat, AT_FDCWD, "/nonexistent", 0); }},
    {"rename", [] { call(SYS_rename, "/nonexistent", "/nonexistent2"); }},
    {"chmod", [] { call(SYS_fchmodat, AT_FDCWD, "/nonexistent", 0); }},
    {"chown", [] { call(SYS_fchownat, AT_FDCWD, "/nonexistent", 0, 0, 0); }},
    {"mknod", [] { call(SYS_mknodat, AT_FDCWD, "/nonexistent/x", 0, 0); }},
    {"fork", [] { call(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr); }},
    {"fork_old", [] { call(SYS_fork); }},
    {"vfork", [] { call(SYS_vfork); }},
    {"clone3", [] { call(SYS_clone3, nullptr, 0); }},
    {"clone_user_namespace", [] { call(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr); }},
    {"exec", [] { call(SYS_execve, "/nonexistent", nullptr, nullptr); }},
    {"exec_descriptor", [] { call(SYS_execveat, passed_fd, "", nullptr, nullptr, AT_EMPTY_PATH); }},
    {"ptrace", [] { call(SYS_ptrace, 0, 0, 0, 0); }},
    {"process_vm_readv", [] { call(SYS_process_vm_readv, 1, nullptr, 0, nullptr, 0, 0); }},
    {"process_vm_writev", [] { call(SYS_process_vm_writev, 1, nullptr, 0, nullptr, 0, 0); }},
    {"mount", [] { call(SYS_mount, "none", "/nonexistent", "tmpfs", 0, nullptr); }},
    {"fsopen", [] { call(SYS_fsopen, "tmpfs", 0); }},
    {"pivot_root", [] { call(SYS_pivot_root, "/nonexistent", "/nonexistent"); }},
    {"chroot", [] { call(SYS_chroot, "/nonexistent"); }},
    {"unshare", [] { call(SYS_unshare, CLONE_NEWUSER); }},
    {"setns", [] { call(SYS_setns, -1, 0); }},
    {"socket_inet", [] { call(SYS_socket, AF_INET, SOCK_STREAM, 0); }},
    {"socket_netlink", [] { call(SYS_socket, AF_NETLINK, SOCK_RAW, 0); }},
    {"socket_packet", [] { call(SYS_socket, AF_PACKET, SOCK_RAW, 0); }},
    {"socket_unix", [] { call(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }},
    {"connect", [] { call(SYS_connect, -1, nullptr, 0); }},
    {"bind", [] { call(SYS_bind, -1, nullptr, 0); }},
    {"ioctl_outside", [] { call(SYS_ioctl, passed_fd, 0x5401, nullptr); }},
    // The kernel takes 32 bits of an ioctl's number; a filter must too.
    {"ioctl_outside_upper_bits", [] { call(SYS_ioctl, passed_fd, 0x100005401, nullptr); }},
    {"ioctl_terminal_input", [] { call(SYS_ioctl, STDIN_FILENO, 0x5412, zeroes.data()); }},  // TIOCSTI
    {"ioctl_iommu_test", [] { call(SYS_ioctl, passed_fd, 0x3ba0, nullptr); }},
    {"ioctl_map_file", [] { call(SYS_ioctl, passed_fd, 0x3b8f, nullptr); }},  // hazard C19
    {"fcntl_lease", [] { call(SYS_fcntl, passed_fd, 1024, 0); }},
    {"fcntl_owner", [] { call(SYS_fcntl, passed_fd, F_SETOWN, 1); }},
    {"read_passed", [] { call(SYS_read, passed_fd, zeroes.data(), 1); }},
    {"pread_passed", [] { call(SYS_pread64, passed_fd, zeroes.data(), 1, 0); }},
    {"write_passed", [] { call(SYS_write, passed_fd, zeroes.data(), 1); }},
    {"pwrite_passed", [] { call(SYS_pwrite64, passed_fd, zeroes.data(), 1, 0); }},
    {"splice_passed", [] { call(SYS_splice, passed_fd, nullptr, passed_fd, nullptr, 1, 0); }},
    {"sendfile_passed", [] { call(SYS_sendfile, passed_fd, passed_fd, nullptr, 1); }},
    {"mmap_passed", [] { call(SYS_mmap, nullptr, 4096, PROT_READ, MAP_SHARED, passed_fd, 0); }},
    {"mmap_executable",
     [] { call(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
    {"mmap_passed_executable", [] { call(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, passed_fd, 0); }},
    {"mprotect_executable", [] { call(SYS_mprotect, zeroes.data(), 4096, PROT_READ | PROT_EXEC); }},
    {"kill", [] { call(SYS_kill, 1, 0); }},
    {"tgkill", [] { call(SYS_tgkill, 1, 1, 0); }},
    {"pidfd_open", [] { call(SYS_pidfd_open, 1, 0); }},
    {"pidfd_send_signal", [] { call(SYS_pidfd_send_signal, -1, 0, nullptr, 0); }},
    {"pidfd_getfd", [] { call(SYS_pidfd_getfd, -1, 0, 0); }},
    {"prlimit", [] { call(SYS_prlimit64, 1, RLIMIT_MEMLOCK, nullptr, nullptr); }},
    {"setrlimit", [] { call(SYS_setrlimit, RLIMIT_MEMLOCK, nullptr); }},
    {"setpriority", [] { call(SYS_setpriority, PRIO_USER, 0, 0); }},
    {"sched_setaffinity", [] { call(SYS_sched_setaffinity, 1, 0, nullptr); }},
    {"sched_setscheduler", [] { call(SYS_sched_setscheduler, 1, 0, nullptr); }},
    {"setuid", [] { call(SYS_setuid, 0); }},
    {"setresuid", [] { call(SYS_setresuid, 0, 0, 0); }},
    {"setgroups", [] { call(SYS_setgroups, 0, nullptr); }},
    {"capset", [] { call(SYS_capset, nullptr, nullptr); }},
    {"prctl_dumpable", [] { call(SYS_prctl, 4, 1, 0, 0, 0); }},
    {"seccomp", [] { call(SYS_seccomp, 0, 0, nullptr); }},
    {"bpf", [] { call(SYS_bpf, 0, nullptr, 0); }},
    {"perf_event_open", [] { call(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
    {"keyctl", [] { call(SYS_keyctl, 0, 0, 0, 0, 0); }},
    {"add_key", [] { call(SYS_add_key, nullptr, nullptr, nullptr, 0, 0); }},
    {"userfaultfd", [] { call(SYS_userfaultfd, 0); }},
    {"io_uring_setup", [] { call(SYS_io_uring_setup, 1, nullptr); }},
    {"init_module", [] { call(SYS_init_module, nullptr, 0, ""); }},
    {"kexec_load", [] { call(SYS_kexec_load, 0, 0, nullptr, 0); }},
    {"reboot", [] { call(SYS_reboot, 0, 0, 0, nullptr); }},
    {"swapon", [] { call(SYS_swapon, "/nonexistent", 0); }},
    {"settimeofday", [] { call(SYS_settimeofday, nullptr, nullptr); }},
    {"sethostname", [] { call(SYS_sethostname, "", 0); }},
    {"quotactl", [] { call(SYS_quotactl, 0, nullptr, 0, nullptr); }},
    {"acct", [] { call(SYS_acct, nullptr); }},
    {"iopl", [] { call(SYS_iopl, 0); }},
    {"personality", [] { call(SYS_personality, 0x0400000); }},
    {"open_by_handle_at", [] { call(SYS_open_by_handle_at, -1, nullptr, 0); }},
};

}  // namespace

int main(int argc, char** argv) {
    using iommud::sandbox::NamedFilter;
    if (argc != 3) {
        return 2;
    }
    const std::string_view list = argv[1];
    const std::string_view name = argv[2];
    const auto filter = std::find_if(std::begin(iommud::sandbox::all_filters), std::end(iommud::sandbox::all_filters),
                                     [list](const NamedFilter& one) { return one.name == list; });
    const auto act =
        std::find_if(std::begin(acts), std::end(acts), [name](const Act& one) { return one.name == name; });
    if (filter == std::end(iommud::sandbox::all_filters) || act == std::end(acts)) {
        std::fprintf(stderr, "no list %s, or no act %s\n", argv[1], argv[2]);
        return 2;
    }
    const int file = ::memfd_create("passed", MFD_CLOEXEC);
    if (::ftruncate(file, 4096) != 0 || ::dup2(file, passed_fd) != passed_fd) {
        return 2;
    }
    iommud::sandbox::enter_seccomp(filter->program);
    act->commit();
    ::syscall(SYS_exit_group, survived);
}
