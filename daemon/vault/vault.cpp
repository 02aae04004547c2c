#include "daemon/vault/vault.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "daemon/base/log.hpp"

namespace iommud::vault {
namespace {

using namespace std::chrono_literals;

constexpr auto longest_release = 2s;     // of keepers that were asked to end; then they are killed
constexpr auto longest_stop = 5s;        // less than the unit's TimeoutStopSec
constexpr int most_frames_at_once = 64;  // then the children have their turn
constexpr int id_bits = 56;

UniqueFd watch_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
        ::sigaddset(&set, number);
    }
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

// In words, for the monitor, which shows them to people (DESIGN §2's invariants that this vault cannot give).
std::vector<std::string> dropped_invariants(bool real) {
    if (real) {
        return {};
    }
    return {"simulated: workers and keepers run as the daemon's own user, not as users of their own",
            "simulated: no cgroup and no memory.max for an account",
            "simulated: no RLIMIT_MEMLOCK: keepers count by themselves and the kernel counts nothing",
            "simulated: no device node is opened or checked, and no DMA is done or stopped"};
}

}  // namespace

Vault::Vault(const Options& options, std::optional<KernelInterface> kernel, std::optional<RealWorld> real,
             uid_t monitor)
    : burial_([] {}),  // each turn of the loop looks
      kernel_(kernel),
      real_(std::move(real)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      signals_(watch_signals()),
      link_(options.run, monitor),
      spawner_(options) {
    if (!epoll_.valid() || !signals_.valid()) {
        throw Fatal(errno_message("epoll or signalfd", errno));
    }
    if (real_) {
        for (const auto& [name, value] : real_->values.all()) {
            holdings_.things.emplace(name, Thing{value, UniqueFd()});
        }
    }
    watch(signals_.borrow(), Source::signals);
    watch(link_.listener(), Source::listener);
}

void Vault::watch(BorrowedFd fd, Source source, std::uint64_t id, bool output) {
    epoll_event event{};
    event.events = output ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.u64 = (static_cast<std::uint64_t>(source) << id_bits) | id;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0 &&
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd.get(), &event) != 0) {
        throw Fatal(errno_message("epoll_ctl", errno));
    }
}

// Always before a close: a copy of the descriptor in another process would keep the events coming.
void Vault::unwatch(BorrowedFd fd) {
    if (fd.valid()) {
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd.get(), nullptr);
    }
}

int Vault::next_timeout() const {
    constexpr int while_burying_ms = 250;
    const int longest = burial_.busy() ? while_burying_ms : 60'000;
    if (deadlines_.empty()) {
        return burial_.busy() ? while_burying_ms : -1;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadlines_.begin()->first - Clock::now());
    return static_cast<int>(std::clamp<long long>(left.count(), 0, longest));
}

void Vault::run() {
    if (ServiceManager::watchdog_interval()) {
        schedule(Due::watchdog, 0s);
    }
    hire(Closer::vault);
    manager_.notify("READY=1\nSTATUS=Waiting for the monitor");
    std::array<epoll_event, 64> events{};
    while (!stopped_ && !(stopping_ && dma_has_ended())) {
        let_bury();
        const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), next_timeout());
        if (count < 0 && errno != EINTR) {
            throw Fatal(errno_message("epoll_wait", errno));
        }
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            dispatch(static_cast<Source>(event.data.u64 >> id_bits),
                     event.data.u64 & ((std::uint64_t{1} << id_bits) - 1), event.events);
        }
        while (!deadlines_.empty() && deadlines_.begin()->first <= Clock::now()) {
            const auto [what, id] = deadlines_.extract(deadlines_.begin()).mapped();
            due(what, id);
        }
        if (link_.connected() && link_.has_queue() != output_watched_) {
            output_watched_ = link_.has_queue();
            watch(link_.connection(), Source::monitor, 0, output_watched_);
        }
    }
    for (const auto& [number, left] : holdings_.abandoned) {
        if (left.lease != 0) {
            log::warning(fmt::format("left behind: process {}, once the keeper of lease {}, which waits in the kernel",
                                     left.child.pid, left.lease));
        }
    }
}

// What keepers do after that, they do without a vault.
bool Vault::dma_has_ended() const {
    return std::all_of(holdings_.leases.begin(), holdings_.leases.end(),
                       [](const auto& entry) { return entry.second.dma_ended; });
}

// An event may be about something that an earlier event of the same batch has ended: every handler looks it up.
void Vault::dispatch(Source source, std::uint64_t id, std::uint32_t events) {
    switch (source) {
        case Source::signals:
            return on_signal();
        case Source::listener:
            return on_listener();
        case Source::monitor:
            return on_monitor(events);
        case Source::worker:
            return on_worker_exit(static_cast<std::uint32_t>(id));
        case Source::keeper:
            return on_keeper_exit(id);
        case Source::report:
            return on_report(id);
        case Source::word:
            return on_word(id);
        case Source::extension:
            return on_extension(id, true);
        case Source::added:
            return on_extension(id, false);
        case Source::other:
            return on_abandoned(id);
        case Source::burial:
            return let_bury();
        case Source::undertaker:
            return on_undertaker_exit(id);
    }
}

void Vault::due(Due what, LeaseId id) {
    Lease* lease = holdings_.find(id);
    switch (what) {
        case Due::successor:
            if (lease != nullptr && lease->phase == Phase::between) {
                start_successor(*lease, "its successor could not go on");
            }
            return;
        case Due::opening:
            if (lease != nullptr && lease->phase == Phase::opening) {
                lease->failure = {ErrorCode::device_busy, "the device's node could not be opened in time"};
                kill_keeper(*lease);
            } else if (lease != nullptr && lease->phase == Phase::cleaning && lease->report.open() &&
                       Clock::now() >= lease->started_by) {
                log::error(fmt::format("lease {}: its successor does not start", id));
                kill_keeper(*lease);
            } else if (lease != nullptr && lease->extension && Clock::now() >= lease->extension->opened_by) {
                signal(lease->extension->child, SIGKILL);
            }
            return;
        case Due::limit:
            if (lease != nullptr && std::exchange(lease->limit_due, false)) {
                limit_keeper(*lease);
            }
            return;
        case Due::sweep:
            if (lease != nullptr && lease->phase == Phase::settling) {
                sweep(*lease);
            }
            return;
        case Due::stuck:
            if (lease != nullptr && lease->doomed == lease->child.pid) {
                give_up_stuck(*lease);
            }
            return;
        case Due::holder:
            if (lease != nullptr && lease->holder && Clock::now() >= lease->holder_dies) {
                log::notice(fmt::format("lease {}: its holder is killed: the time it was given is over", id),
                            {{"IOMMUD_LEASE", std::to_string(id)}});
                lease->holder->kill();
            }
            return;
        case Due::undertaker:
            hire(Closer::vault);
            return hire(Closer::monitor);
        case Due::watchdog:
            manager_.notify(fmt::format("WATCHDOG=1\nSTATUS={}, {} leases, {} workers",
                                        link_.connected() ? "Serving" : "Waiting for the monitor",
                                        holdings_.leases.size(), holdings_.workers.size()));
            schedule(Due::watchdog, *ServiceManager::watchdog_interval());
            return;
        case Due::kill:
            for (auto& [number, slow] : holdings_.leases) {
                if (!slow.dma_ended && slow.phase != Phase::between) {
                    kill_keeper(slow);
                }
            }
            return;
        case Due::stop:
            log::warning(fmt::format("stopping with {} leases whose DMA did not end in time",
                                     std::count_if(holdings_.leases.begin(), holdings_.leases.end(),
                                                   [](const auto& entry) { return !entry.second.dma_ended; })));
            stopped_ = true;
            return;
    }
}

void Vault::on_signal() {
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) != sizeof info || info.ssi_signo == SIGHUP || stopping_) {
        return;
    }
    stopping_ = true;
    manager_.notify("STOPPING=1");
    log::info(fmt::format("stopping: {} leases end", holdings_.leases.size()));
    unwatch(link_.listener());
    for (const auto& [slot, worker] : holdings_.workers) {
        signal(worker, SIGKILL);
    }
    for (const auto& [id, lease] : holdings_.leases) {
        if (lease.phase == Phase::opening || lease.phase == Phase::running) {  // the others clean up already
            signal(lease.child, SIGTERM);
        }
    }
    schedule(Due::kill, longest_release);
    schedule(Due::stop, longest_stop);
}

void Vault::on_listener() {
    if (link_.connected()) {
        on_monitor(EPOLLIN);  // it may have hung up in this very moment, and this be its successor
    }
    if (link_.accept()) {
        watch(link_.connection(), Source::monitor);
        output_watched_ = false;
        greet();
    } else {
        log::warning("refused a connection: not the monitor's user, or there is a monitor");
    }
}

void Vault::greet() {
    log::info(fmt::format("the monitor has connected; {} leases are held", holdings_.leases.size()));
    tell(ipc::VaultHello{.kernel = kernel_.value_or(KernelInterface::iommufd),
                         .last_lease = holdings_.last_lease,
                         .dropped_invariants = dropped_invariants(real_.has_value()),
                         .freed_memory = real_ ? real_->freed_memory : FreedMemory::unreachable});
    hire(Closer::monitor);
    for (auto& [id, lease] : holdings_.leases) {
        // One that is being opened has no first frame in its channel yet: this monitor gets the channel with the
        // GrantResult, as if it had asked itself.
        const bool opening = lease.phase == Phase::opening;
        if (!opening && !lease.control.open()) {
            continue;  // there never was a keeper: it settles, and who asked has been gone since
        }
        const bool settles = lease.phase == Phase::settling;  // its child is a sweeper
        const bool there = !opening && !settles && lease.child.pidfd.valid();
        const std::array<BorrowedFd, 2> fds{lease.control.fd(), lease.child.pidfd.borrow()};
        const bool successor = !opening && !settles && lease.phase != Phase::running;
        if (opening) {
            lease.asked_by = link_.generation();
        }
        tell(ipc::HeldLease{.lease = id, .successor = successor, .settles = settles, .record = lease.record},
             std::span(fds.data(), there ? 2 : 0));
    }
    for (const auto& [name, thing] : holdings_.things) {
        const std::array<BorrowedFd, 1> fds{thing.fd.borrow()};
        tell(ipc::HeldThing{.name = name, .value = thing.value}, std::span(fds.data(), thing.fd.valid() ? 1 : 0));
    }
    tell(ipc::HoldingsComplete{});
}

void Vault::on_monitor(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0 && !link_.flush()) {
        drop_monitor("it hung up");
    }
    ipc::Packet packet;
    for (int i = 0; i < most_frames_at_once && link_.connected(); ++i) {
        switch (link_.receive(packet)) {
            case ipc::ReceiveResult::packet:
                if (const auto handled = handle(packet); !handled) {
                    drop_monitor(handled.error().message);
                }
                break;
            case ipc::ReceiveResult::empty:
                return;
            case ipc::ReceiveResult::closed:
                return drop_monitor("it hung up");
            case ipc::ReceiveResult::malformed:
                return drop_monitor("a packet is too long or has too many descriptors");
        }
    }
}

void Vault::drop_monitor(std::string_view why) {
    log::notice(fmt::format("the monitor's connection is closed: {}", why));
    unwatch(link_.connection());
    link_.drop();
    dismiss_monitors();
    // Workers belong to a monitor: its successor counts slots from none.
    for (auto& [slot, worker] : std::exchange(holdings_.workers, {})) {
        signal(worker, SIGKILL);
        abandon(std::move(worker));
    }
}

}  // namespace iommud::vault
