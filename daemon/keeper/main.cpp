// iommud-keeper: holds one lease (DESIGN §2). Started by the vault only, with descriptors 3 to 6.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <string_view>
#include <utility>

#include "daemon/keeper/keeper.hpp"
#include "daemon/keeper/own_memory.hpp"
#include "daemon/kernel/address_arena.hpp"
#include "daemon/sandbox/keeper_container_filter.hpp"
#include "daemon/sandbox/keeper_filter.hpp"
#include "daemon/sandbox/keeper_simulated_filter.hpp"
#include "daemon/sandbox/privileges.hpp"
#include "daemon/sandbox/seccomp.hpp"

namespace iommud::keeper {
namespace {

constexpr int start_timeout_ms = 5000;

UniqueFd inherited(int number) {
    struct stat status {};
    return ::fstat(number, &status) == 0 ? UniqueFd(number) : UniqueFd();
}

// Asked to end, the keeper releases: signals are read from a descriptor, and interrupt nothing.
UniqueFd take_signals() {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGTERM);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGHUP);
    sigset_t blocked = signals;
    ::sigaddset(&blocked, SIGPIPE);  // a word to a vault that is gone
    ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    return UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

// The kernel's table of descriptors, which it would not enlarge any more where the account's cgroup is full.
bool reserve_descriptors() {
    const UniqueFd highest(::fcntl(ipc::keeper_control_fd, F_DUPFD_CLOEXEC, most_descriptors - 1));
    return highest.valid();
}

// Of what is touched from here on the account's cgroup counts what clients map, and nothing of this process: its own
// memory is there, and locked, whatever a client has filled that cgroup with (hazard C14). 0 or an errno.
int enter_account(const UniqueFd& cgroup) {
    return !cgroup.valid() || ::write(cgroup.get(), "0", 1) == 1 ? 0 : errno;
}

void limit_resources(const ipc::KeeperStart& message) {
    sandbox::set_limit(RLIMIT_NOFILE, most_descriptors);
    switch (message.kernel) {
        case KernelInterface::iommufd:
            sandbox::set_limit(RLIMIT_MEMLOCK, message.memlock);
            break;
        case KernelInterface::type1:
            // Counted with the keeper's own memory, so this is only a second line: the first, exact to the page, is the
            // keeper's own count, and nobody else can map.
            sandbox::set_limit(RLIMIT_MEMLOCK, message.reserve + most_own_memory);
            break;
        case KernelInterface::simulated:
            break;  // nothing is locked, and whoever tries the daemon out may lower no limit for good
    }
}

void confine(const Start& start) {
    switch (start.message.kernel) {
        case KernelInterface::iommufd:
            sandbox::enter_seccomp(sandbox::keeper_filter);
            break;
        case KernelInterface::type1:
            sandbox::enter_seccomp(sandbox::keeper_container_filter);
            break;
        case KernelInterface::simulated:
            sandbox::enter_seccomp(sandbox::keeper_simulated_filter);
            break;
    }
}

Result<std::unique_ptr<kernel::DmaContext>> make_context(Start& start, kernel::AddressArena arena) {
    const bool fresh = start.message.role == ipc::KeeperRole::keeper;
    if (start.message.mode == Mode::direct) {
        return start.message.kernel == KernelInterface::simulated
                   ? kernel::make_simulated_direct_context()
                   : kernel::make_direct_context(std::move(start.context));
    }
    switch (start.message.kernel) {
        case KernelInterface::iommufd:
            return fresh ? kernel::make_iommufd_context(std::move(start.context), std::move(arena))
                         : kernel::adopt_iommufd_context(std::move(start.context));
        case KernelInterface::type1:
            return fresh ? kernel::make_type1_context(std::move(start.context), std::move(arena))
                         : kernel::adopt_type1_context(std::move(start.context));
        case KernelInterface::simulated:
            break;
    }
    return kernel::make_simulated_context(std::move(start.message.faults));
}

ExitCode run() {
    sandbox::forbid_dumps();
    UniqueFd lifeline = inherited(ipc::keeper_lifeline_fd);
    UniqueFd word = inherited(ipc::keeper_word_fd);
    UniqueFd cgroup = inherited(ipc::keeper_cgroup_fd);  // before anything new gets the number of one that is not there
    ipc::Channel channel(inherited(ipc::keeper_control_fd));
    UniqueFd signals = take_signals();
    if (!signals.valid() || !lifeline.valid() || !channel.open() || !reserve_descriptors()) {
        return ExitCode::failed;
    }
    auto start = receive_start(channel, start_timeout_ms);
    Control control(std::move(channel));
    if (!start) {
        control.report_failure(start.error());
        return ExitCode::failed;
    }
    const bool simulated = start->message.kernel == KernelInterface::simulated;
    if (!lock_own_memory() && !simulated) {
        control.report_failure(Error{ErrorCode::internal, "the keeper may not lock its own memory"});
        return ExitCode::released;  // nothing was bound or mapped yet
    }
    // After locking, which would fill what is only addresses yet. The first part of each table is locked before the
    // limit goes down, which may be lower than what the keeper has locked; more is needed only by who may map far more
    // than that.
    const std::uint32_t maps = start->message.role == ipc::KeeperRole::keeper && start->message.mode == Mode::managed
                                   ? start->message.maps
                                   : 0;
    MapTable table(maps, simulated ? kernel::Locking::unlocked : kernel::Locking::locked);
    kernel::AddressArena arena(simulated ? 0 : maps);
    if (const int error = maps == 0 ? 0 : !table.make_room() ? ENOMEM : simulated ? 0 : arena.reserve(); error != 0) {
        control.report_failure(Error{ErrorCode::internal, errno_message("reserve addresses", error)});
        return ExitCode::released;  // likewise
    }
    if (const int error = enter_account(cgroup); error != 0) {
        control.report_failure(Error{ErrorCode::internal, errno_message("enter the account's cgroup", error)});
        return ExitCode::released;  // likewise
    }
    cgroup.reset();
    limit_resources(start->message);
    confine(*start);
    auto context = make_context(*start, std::move(arena));
    if (!context) {
        control.report_failure(context.error());
        return ExitCode::released;  // likewise
    }
    Keeper keeper(*std::move(start), *std::move(context), std::move(table), std::move(control), std::move(lifeline),
                  std::move(word), std::move(signals));
    return keeper.run();
}

}  // namespace
}  // namespace iommud::keeper

int main(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == iommud::ipc::keeper_probe_argument) {
        return iommud::kernel::maps_by_file(iommud::BorrowedFd(iommud::ipc::keeper_control_fd))
                   ? iommud::ipc::keeper_probe_yes
                   : iommud::ipc::keeper_probe_no;
    }
    try {
        return static_cast<int>(iommud::keeper::run());
    } catch (const std::exception&) {
        // Nobody reads a keeper's standard error, and nothing may wait for the journal. The vault sees the exit code,
        // and a successor takes the lease back.
        return static_cast<int>(iommud::keeper::ExitCode::failed);
    }
}
