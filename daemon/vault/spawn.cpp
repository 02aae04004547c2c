#include "daemon/vault/spawn.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <initializer_list>

#include "daemon/base/bytes.hpp"
#include "daemon/vault/cgroups.hpp"
#include "daemon/vault/files.hpp"
#include "daemon/vault/nodes.hpp"

namespace iommud::vault {
namespace {

constexpr rlim_t child_descriptors = 1024;
// A keeper locks its own memory before it goes down to the account's limit.
constexpr rlim_t keeper_own_memory = 64 * MiB;

// Why a child cannot become what it should; caught at its top, never in the vault.
struct Refusal {
    Error error;
};

template <class T>
T want(Result<T> result) {
    if (!result) {
        throw Refusal{result.error()};
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

void want(bool done, const char* what) {
    if (!done) {
        throw Refusal{{ErrorCode::internal, errno_message(what, errno)}};
    }
}

void want(ipc::SendResult result, const char* what) {
    if (result != ipc::SendResult::sent) {
        throw Refusal{{ErrorCode::internal, fmt::format("cannot send {}", what)}};
    }
}

// A child lives for a while before it execs: it must not keep alive what the vault or another lease lets go meanwhile.
void close_all_but(std::initializer_list<BorrowedFd> kept) {
    std::vector<unsigned> numbers{STDERR_FILENO};
    for (const BorrowedFd fd : kept) {
        if (fd.valid()) {
            numbers.push_back(static_cast<unsigned>(fd.get()));
        }
    }
    std::sort(numbers.begin(), numbers.end());
    numbers.push_back(~0U);
    for (std::size_t i = 0; i + 1 < numbers.size(); ++i) {
        if (numbers[i] + 1 < numbers[i + 1]) {
            want(::close_range(numbers[i] + 1, numbers[i + 1] - (numbers[i + 1] == ~0U ? 0 : 1), 0) == 0,
                 "close_range");
        }
    }
}

void limit(__rlimit_resource resource, rlim_t value) {
    const rlimit both{value, value};
    want(::setrlimit(resource, &both) == 0, "set a resource limit (beyond the old one only with CAP_SYS_RESOURCE)");
}

rlim_t own_descriptors() {
    rlimit limit{};
    want(::getrlimit(RLIMIT_NOFILE, &limit) == 0, "ask for the limit of descriptors");
    return limit.rlim_cur;
}

void settle_in(const Place& place, rlim_t locked_memory, rlim_t descriptors = child_descriptors) {
    if (!place.cgroup.empty()) {
        want(enter_cgroup(place.cgroup));
    }
    limit(RLIMIT_NOFILE, descriptors);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_MEMLOCK, locked_memory);
    const auto [uid, gid] = place.user;
    want(::setgroups(0, nullptr) == 0, "setgroups");
    want(::setresgid(gid, gid, gid) == 0, "setresgid");
    want(::setresuid(uid, uid, uid) == 0, "setresuid");
}

// A child without a pidfd is killed. It may wait in the kernel, so that it is reaped when another one is started.
std::vector<pid_t>& killed_children() {
    static std::vector<pid_t> the_killed;
    return the_killed;
}

// `body` does not return but by throwing Refusal, of which `refused` hears.
template <class Body, class Refused>
Result<Child> fork_child(const Body& body, const Refused& refused) {
    std::erase_if(killed_children(), [](pid_t killed) { return ::waitpid(killed, nullptr, WNOHANG) != 0; });
    const pid_t pid = ::fork();
    if (pid == 0) {
        closing = {};  // it has no undertaker, and may wait
        try {
            ::setsid();  // a terminal's interrupt is for the vault, which ends its children in order
            body();
        } catch (const Refusal& refusal) {
            refused(refusal.error);
        } catch (const std::exception& error) {
            refused(Error{ErrorCode::internal, error.what()});
        }
        ::_exit(1);
    }
    if (pid < 0) {
        return fail(ErrorCode::internal, errno_message("fork", errno));
    }
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.valid()) {
        const int error = errno;
        ::kill(pid, SIGKILL);
        killed_children().push_back(pid);
        return fail(ErrorCode::internal, errno_message("pidfd_open", error));
    }
    return Child{pid, std::move(pidfd)};
}

void say(const Error& error) {
    ::dprintf(STDERR_FILENO, "iommud-vault: a child: %s\n", error.message.c_str());
}

void report_refusal(const ipc::Channel& report, const Error& error) {
    const ipc::ChildReport refusal{.ok = false, .code = error.code, .message = error.message.substr(0, 1024)};
    if (report.send(refusal) != ipc::SendResult::sent) {
        say(error);
    }
}

std::vector<BorrowedFd> borrowed(const std::vector<UniqueFd>& fds) {
    std::vector<BorrowedFd> all;
    all.reserve(fds.size());
    for (const UniqueFd& fd : fds) {
        all.push_back(fd.borrow());
    }
    return all;
}

}  // namespace

struct Spawner::Ends {
    const ipc::Channel& control;
    const ipc::Channel& keeper;
    const ipc::Channel& report;
    BorrowedFd word;
    BorrowedFd delivery;
};

Spawner::Spawner(const Options& options) : libexec_(options.libexec), verbose_(options.verbose) {
    for (const char* name : {"iommud-keeper", "iommud-worker", "iommud-undertaker"}) {
        const std::string path = fmt::format("{}/{}", libexec_, name);
        if (::access(path.c_str(), X_OK) != 0) {
            throw Fatal(errno_message(path, errno));
        }
    }
    for (char** variable = environ; *variable != nullptr; ++variable) {
        const std::string_view text(*variable);
        if (text.starts_with("IOMMUD_") || text.starts_with("JOURNAL_STREAM=")) {
            environment_.emplace_back(text);
        }
    }
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw Fatal(errno_message("pipe", errno));
    }
    lifeline_read_.reset(ends[0]);
    lifeline_write_.reset(ends[1]);
}

void Spawner::execute(const char* name, std::array<BorrowedFd, most_inherited> fds) const {
    constexpr int out_of_the_way = 64;
    constexpr int first = 3;
    std::array<UniqueFd, most_inherited> copies;
    for (std::size_t i = 0; i < fds.size(); ++i) {
        copies[i].reset(fds[i].valid() ? ::fcntl(fds[i].get(), F_DUPFD_CLOEXEC, out_of_the_way) : -1);
    }
    int next = first;
    for (std::size_t i = 0; i < fds.size() && fds[i].valid(); ++i, ++next) {
        want(::dup2(copies[i].get(), next) == next, "dup2");
    }
    want(::close_range(static_cast<unsigned>(next), ~0U, 0) == 0, "close_range");
    std::vector<char*> environment;
    for (const std::string& variable : environment_) {
        environment.push_back(const_cast<char*>(variable.c_str()));
    }
    environment.push_back(nullptr);
    const std::string path = fmt::format("{}/{}", libexec_, name);
    const std::array<const char*, 3> arguments{name, verbose_ ? "--verbose" : nullptr, nullptr};
    sigset_t none;
    ::sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    ::execve(path.c_str(), const_cast<char* const*>(arguments.data()), environment.data());
    throw Refusal{{ErrorCode::internal, errno_message(path, errno)}};
}

Result<Child> Spawner::worker(const std::optional<Place>& place, BorrowedFd monitor_end, BorrowedFd connection) const {
    const auto body = [this, &place, monitor_end, connection] {
        close_all_but({monitor_end, connection});
        if (place) {
            want(write_small("/proc/self/oom_score_adj", "0"));  // the vault's own -1000 is not for it
            settle_in(*place, 0);
        }
        execute("iommud-worker", {monitor_end, connection});
    };
    return fork_child(body, say);
}

void Spawner::become_keeper(const std::optional<Place>& place, const Lease& lease, const Ends& ends) const {
    close_all_but(
        {ends.control.fd(), ends.keeper.fd(), ends.report.fd(), ends.word, ends.delivery, lifeline_read_.borrow()});
    UniqueFd context;
    if (lease.start.role == ipc::KeeperRole::keeper) {
        std::vector<UniqueFd> devices;
        std::vector<BorrowedFd> fds{ends.delivery};
        if (place) {
            context = want(open_context(lease.start.kernel));
            devices = want(open_devices(lease.start.kernel, lease.start.devices));
            fds = borrowed(devices);
            fds.insert(fds.begin(), {context.borrow(), ends.delivery});
        }
        want(ends.control.send(lease.start, fds), "KeeperStart");
    }
    UniqueFd cgroup;
    if (place) {
        // A client can fill its account's cgroup, where a first touch then spins for ever, and not even a successor
        // would get as far as to unmap. So a keeper has all its own memory before it enters, and a successor, which
        // pins nothing, stays outside.
        if (lease.start.role == ipc::KeeperRole::keeper) {
            want(limit_cgroup(place->cgroup, lease.memory_max));
            want(room_in_cgroup(place->cgroup));
            cgroup = want(open_cgroup(place->cgroup));
        }
        settle_in({place->user, {}}, lease.start.memlock + keeper_own_memory);
    }
    const std::array<BorrowedFd, 1> copy{context.borrow()};
    want(ends.report.send(ipc::ChildReport{true, {}, {}}, std::span(copy.data(), context.valid() ? 1 : 0)),
         "ChildReport");
    execute("iommud-keeper", {ends.keeper.fd(), lifeline_read_.borrow(), ends.word, cgroup.borrow()});
}

Result<NewKeeper> Spawner::keeper(const std::optional<Place>& place, const Lease& lease, BorrowedFd delivery) const {
    auto control = ipc::Channel::pair();
    auto report = ipc::Channel::pair();
    std::array<int, 2> word{-1, -1};
    const bool piped = ::pipe2(word.data(), O_CLOEXEC | O_NONBLOCK) == 0;
    UniqueFd read_end(word[0]);
    const UniqueFd write_end(word[1]);
    if (!control || !report || !piped) {
        return fail(ErrorCode::internal, "no descriptors left for a keeper");
    }
    auto& [monitor_end, keeper_end] = *control;
    monitor_end.refuse_descriptors();  // a keeper that an attacker runs could queue its devices there
    // The monitor hears of a successor as soon as it is there, and may have something to say to it.
    if (lease.start.role == ipc::KeeperRole::successor) {
        const std::array<BorrowedFd, 1> context{lease.context.borrow()};
        if (monitor_end.send(lease.start, std::span(context.data(), lease.context.valid() ? 1 : 0)) !=
            ipc::SendResult::sent) {
            return fail(ErrorCode::internal, "cannot send KeeperStart to a successor");
        }
    }
    const ipc::Channel& child_end = report->second;
    const Ends ends{monitor_end, keeper_end, child_end, write_end.borrow(), delivery};
    auto child = fork_child([this, &place, &lease, &ends] { become_keeper(place, lease, ends); },
                            [&child_end](const Error& error) { report_refusal(child_end, error); });
    if (!child) {
        return tl::unexpected(child.error());
    }
    return NewKeeper{std::move(*child), std::move(monitor_end), std::move(report->first), std::move(read_end)};
}

Result<Extension> Spawner::extension(const Lease& lease, const ipc::KeeperAdd& add, BorrowedFd delivery) const {
    auto report = ipc::Channel::pair();
    if (!report) {
        return tl::unexpected(report.error());
    }
    const ipc::Channel& child_end = report->second;
    const auto body = [&lease, &add, &child_end, delivery] {
        close_all_but({lease.control.fd(), child_end.fd(), delivery});
        std::vector<UniqueFd> devices;
        if (lease.start.kernel != KernelInterface::simulated) {
            devices = want(open_devices(lease.start.kernel, add.devices));
        }
        std::vector<BorrowedFd> fds = borrowed(devices);
        fds.insert(fds.begin(), delivery);
        want(lease.control.send(add, fds), "KeeperAdd");
        want(child_end.send(ipc::ChildReport{true, {}, {}}), "ChildReport");
        ::_exit(0);
    };
    auto child = fork_child(body, [&child_end](const Error& error) { report_refusal(child_end, error); });
    if (!child) {
        return tl::unexpected(child.error());
    }
    return Extension{std::move(*child), std::move(report->first), {}, {}};
}

Result<NewUndertaker> Spawner::undertaker(const std::optional<Place>& place) const {
    auto pair = ipc::Channel::pair();
    if (!pair) {
        return tl::unexpected(pair.error());
    }
    auto& [closers_end, own_end] = *pair;
    closers_end.refuse_descriptors();
    const auto body = [this, &place, end = own_end.fd(), vault = ::getpid()] {
        close_all_but({end});
        if (place) {
            settle_in(*place, 0, own_descriptors());  // a morgue holds many
        }
        // Or one whose close waits would outlive the vault, and systemd would wait for that. A change of uid undoes it.
        want(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == vault, "end with the vault");
        execute("iommud-undertaker", {end});
    };
    auto child = fork_child(body, say);
    close_here(own_end.take().release());  // nothing was sent there yet
    if (!child) {
        return tl::unexpected(child.error());
    }
    return NewUndertaker{std::move(*child), std::move(closers_end)};
}

Result<Child> Spawner::limiter(const std::string& cgroup, std::uint64_t memory_max) const {
    const auto body = [&cgroup, memory_max] {
        close_all_but({});
        want(limit_cgroup(cgroup, memory_max));
        ::_exit(0);
    };
    return fork_child(body, say);
}

Result<Child> Spawner::sweeper(const Sweep& sweep) const {
    const auto body = [&sweep] {
        close_all_but({});
        ::_exit(lower_all(sweep) ? 0 : 1);
    };
    return fork_child(body, say);
}

}  // namespace iommud::vault
