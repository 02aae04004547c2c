// The vault's children: their reports, their ends, and what follows from those.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <set>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/vault/vault.hpp"

namespace iommud::vault {

std::optional<Vault::Exit> Vault::reap(const Child& child) {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) {
        return std::nullopt;
    }
    unwatch(child.pidfd.borrow());
    const bool exited = info.si_code == CLD_EXITED;
    return Exit{exited && info.si_status == 0, describe_exit(info.si_code, info.si_status)};
}

void Vault::signal(const Child& child, int number) const {
    static_cast<void>(
        ::syscall(SYS_pidfd_send_signal, child.pidfd.get(), number, nullptr, 0));  // or it is gone already
}

void Vault::abandon(Child child, LeaseId lease, std::uint32_t account_uid) {
    watch(child.pidfd.borrow(), Source::other, next_abandoned_);
    holdings_.abandoned.emplace(next_abandoned_++, Abandoned{std::move(child), account_uid, lease});
}

void Vault::on_abandoned(std::uint64_t number) {
    const auto entry = holdings_.abandoned.find(number);
    if (entry == holdings_.abandoned.end()) {
        return;
    }
    const auto exit = reap(entry->second.child);
    if (!exit) {
        return;
    }
    if (const LeaseId lease = entry->second.lease; lease != 0) {
        log::notice(
            fmt::format("process {}, which lease {} had given up, {}", entry->second.child.pid, lease, exit->text),
            {{"IOMMUD_LEASE", std::to_string(lease)}});
    }
    holdings_.abandoned.erase(entry);
}

// A process that waits in the kernel, uninterruptibly, dies when that ends: never, if a client so wishes (hazard C21).
void Vault::kill_keeper(Lease& lease) {
    constexpr std::chrono::seconds until_it_is_dead{1};
    signal(lease.child, SIGKILL);
    if (std::exchange(lease.doomed, lease.child.pid) != lease.child.pid) {
        schedule(Due::stuck, until_it_is_dead, lease.start.lease);
    }
}

// What it still maps in that one call, if it is in one, its successor finds while it drains.
void Vault::give_up_stuck(Lease& lease) {
    on_word(lease.start.lease);
    if (lease.doomed != lease.child.pid || (lease.phase != Phase::running && lease.phase != Phase::cleaning)) {
        return;  // it has said that it leaves; or it is still being started, and no client has a device
    }
    log::error(
        fmt::format("lease {}: process {} waits in the kernel and cannot be killed; its successor does not wait for it",
                    lease.start.lease, lease.child.pid),
        {{"IOMMUD_LEASE", std::to_string(lease.start.lease)}});
    abandon(std::move(lease.child), lease.start.lease, lease.account_uid);
    start_successor(lease, "waits in the kernel and cannot be killed");
}

// Makes room for one more account among those that hold nothing.
void Vault::collect_accounts() {
    std::set<std::uint32_t> busy;
    for (const auto& [id, lease] : holdings_.leases) {
        busy.insert(lease.account_uid);
    }
    while (const auto oldest = real_->slots.surplus(busy)) {
        const auto [account, own] = *oldest;
        if (auto removed = real_->cgroups.remove_account(own); !removed) {
            log::warning(fmt::format("account {} is kept: {}", account, removed.error().message));
            busy.insert(account);  // the next account's turn is the next try
            continue;
        }
        real_->slots.forget(account);
    }
}

Result<std::optional<Place>> Vault::place_of(std::uint32_t account_uid) {
    if (!real_) {
        return std::nullopt;
    }
    if (!real_->slots.knows(account_uid)) {
        collect_accounts();
    }
    const auto own = real_->slots.uid_of(account_uid);
    if (!own) {
        return tl::unexpected(own.error());
    }
    auto cgroup = real_->cgroups.account(*own);
    if (!cgroup) {
        return tl::unexpected(cgroup.error());
    }
    return Place{{*own, *own}, std::move(*cgroup)};
}

Result<void> Vault::start_keeper(Lease& lease, BorrowedFd delivery) {
    const auto place = place_of(lease.account_uid);
    if (!place) {
        return tl::unexpected(place.error());
    }
    auto keeper = spawner_.keeper(*place, lease, delivery);
    if (!keeper) {
        return tl::unexpected(keeper.error());
    }
    watch(keeper->child.pidfd.borrow(), Source::keeper, lease.start.lease);
    watch(keeper->report.fd(), Source::report, lease.start.lease);
    lease.child = std::move(keeper->child);
    lease.control = std::move(keeper->control);
    lease.report = std::move(keeper->report);
    unwatch(lease.word.borrow());
    lease.word = std::move(keeper->word);
    watch(lease.word.borrow(), Source::word, lease.start.lease);
    lease.dma_ended = false;
    lease.doomed = -1;
    lease.first_memlock = lease.start.memlock;
    lease.first_memory_max = lease.memory_max;
    lease.limited = false;
    return {};
}

// A keeper locks its own memory before it lowers its limit to what it was told at its start. Until it has done both, a
// limit from outside would be in its way, or be undone by it: it is set a little later.
void Vault::limit_keeper(Lease& lease) {
    constexpr std::chrono::milliseconds until_it_has{20};
    // Under type1 the kernel's count is the process's, which has nothing to do with the account's limit.
    if (!real_ || kernel_ != KernelInterface::iommufd ||
        (lease.phase != Phase::running && lease.phase != Phase::cleaning)) {
        return;
    }
    // By pid: the child is ours and not reaped, so that its number is nobody else's.
    rlimit now{};
    if (::prlimit(lease.child.pid, RLIMIT_MEMLOCK, nullptr, &now) != 0) {
        return;  // it has exited
    }
    lease.limited = lease.limited || now.rlim_max <= lease.first_memlock;
    if (!lease.limited) {
        if (!std::exchange(lease.limit_due, true)) {
            schedule(Due::limit, until_it_has, lease.start.lease);
        }
        return;
    }
    const rlimit limit{lease.start.memlock, lease.start.memlock};
    if (::prlimit(lease.child.pid, RLIMIT_MEMLOCK, &limit, nullptr) != 0 && errno != ESRCH) {
        log::error(errno_message(fmt::format("lease {}: set RLIMIT_MEMLOCK", lease.start.lease), errno));
    }
}

void Vault::limit_cgroup_of(std::uint32_t account_uid, std::uint64_t memory_max) {
    if (const auto place = place_of(account_uid); place && *place) {
        if (auto child = spawner_.limiter((*place)->cgroup, memory_max)) {
            abandon(std::move(*child));
        }
    }
}

void Vault::start_successor(Lease& lease, const std::string& how_it_died, Went went) {
    const LeaseId id = lease.start.lease;
    close_report(lease.report);
    lease.start.role = ipc::KeeperRole::successor;
    if (const auto started = start_keeper(lease, BorrowedFd()); !started) {
        log::error(fmt::format("lease {}: no successor yet: {}", id, started.error().message));
        lease.dma_ended = false;
        lease.phase = Phase::between;
        schedule(Due::successor, back_off(++lease.deaths + 1), id);
        return;
    }
    lease.phase = Phase::cleaning;
    lease.started_by = Clock::now() + longest_opening;
    schedule(Due::opening, longest_opening, id);
    const std::array<BorrowedFd, 2> fds{lease.control.fd(), lease.child.pidfd.borrow()};
    tell(ipc::KeeperDied{id, how_it_died, went == Went::revoked, went == Went::left}, fds);
}

void Vault::on_worker_exit(std::uint32_t slot) {
    const auto worker = holdings_.workers.find(slot);
    if (worker == holdings_.workers.end()) {
        return;
    }
    if (const auto exit = reap(worker->second)) {
        holdings_.workers.erase(worker);
        tell(ipc::WorkerExited{slot, exit->text});
    }
}

void Vault::close_report(ipc::Channel& report) {
    unwatch(report.fd());
    report.close();
}

void Vault::on_report(LeaseId id) {
    Lease* lease = holdings_.find(id);
    ipc::Packet packet;
    if (lease == nullptr || !lease->report.open() || lease->report.receive(packet, 1) == ipc::ReceiveResult::empty) {
        return;
    }
    const auto report = ipc::decode<ipc::ChildReport>(packet.bytes);
    close_report(lease->report);
    if (!report || !report->ok) {
        lease->failure = report ? Error{report->code, report->message} : lease->failure;
        return;  // its exit follows, and only then is nothing left
    }
    if (lease->phase != Phase::opening) {
        return;
    }
    lease->phase = Phase::running;
    if (!packet.fds.empty()) {
        lease->context = std::move(packet.fds[0]);
    }
    if (lease->start.memlock != lease->first_memlock) {
        limit_keeper(*lease);
    }
    if (lease->memory_max != lease->first_memory_max) {
        limit_cgroup_of(lease->account_uid, lease->memory_max);
    }
    if (stopping_) {
        signal(lease->child, SIGTERM);
    }
    if (lease->asked_by == link_.generation()) {  // else: this monitor knows it as a HeldLease
        const std::array<BorrowedFd, 2> fds{lease->control.fd(), lease->child.pidfd.borrow()};
        tell(ipc::GrantResult{id, true, {}, {}}, fds);
    }
}

// A pipe carries nothing that would have to be closed.
void Vault::on_word(LeaseId id) {
    Lease* lease = holdings_.find(id);
    std::array<ipc::KeeperWord, 8> words{};
    const ssize_t count =
        lease == nullptr || !lease->word.valid() ? -1 : ::read(lease->word.get(), words.data(), words.size());
    if (count == 0) {
        unwatch(lease->word.borrow());
        lease->word.reset();
    }
    for (ssize_t i = 0; i < count; ++i) {
        const ipc::KeeperWord word = words[static_cast<std::size_t>(i)];
        if (word == ipc::KeeperWord::dma_ended) {
            lease->dma_ended = true;
        } else if (word == ipc::KeeperWord::leaving || word == ipc::KeeperWord::revoked) {
            return keeper_leaves(*lease, word == ipc::KeeperWord::revoked);
        } else {
            return kill_keeper(*lease);  // it is no keeper of ours any more
        }
    }
}

// Its exit may be held up by what its client gave it, for as long as the client likes (hazard C22).
void Vault::keeper_leaves(Lease& lease, bool revoked) {
    on_report(lease.start.lease);
    if (lease.phase != Phase::running && lease.phase != Phase::cleaning) {
        return kill_keeper(lease);
    }
    if (revoked && lease.holder) {
        lease.holder->kill();
    }
    abandon(std::move(lease.child), lease.start.lease, lease.account_uid);
    start_successor(lease, "has ended DMA and leaves the rest", revoked ? Went::revoked : Went::left);
}

void Vault::on_keeper_exit(LeaseId id) {
    on_word(id);  // may have put a successor in its place, whose exit this is not
    Lease* lease = holdings_.find(id);
    const auto exit = lease == nullptr ? std::nullopt : reap(lease->child);
    if (!exit) {
        return;
    }
    if (lease->phase == Phase::settling) {
        return on_sweep_exit(id, exit->clean);
    }
    on_report(id);
    const bool failed = lease->phase == Phase::opening;
    if (!failed && !exit->clean) {
        const std::string& why = lease->failure.message;
        log::warning(fmt::format("lease {}: its keeper {}{}{}", id, exit->text, why.empty() ? "" : ": ", why),
                     {{"IOMMUD_LEASE", std::to_string(id)}});
        lease->failure = {};
        lease->phase = Phase::between;
        lease->dma_ended = false;
        const auto wait = back_off(++lease->deaths);
        return wait.count() == 0 ? start_successor(*lease, exit->text) : schedule(Due::successor, wait, id);
    }
    const Error failure = lease->failure.message.empty()
                              ? Error{ErrorCode::internal, "the keeper " + exit->text + " before it was one"}
                              : lease->failure;
    close_report(lease->report);
    if (lease->extension) {
        close_report(lease->extension->report);
        abandon(std::move(lease->extension->child));
        lease->extension.reset();  // a direct lease stays a while
    }
    end_lease(id, failed ? std::optional(failure) : std::nullopt);
}

void Vault::on_extension(LeaseId id, bool exited) {
    Lease* lease = holdings_.find(id);
    if (lease == nullptr || !lease->extension) {
        return;
    }
    Extension& extension = *lease->extension;
    const auto exit = exited ? reap(extension.child) : std::nullopt;
    ipc::Packet packet;
    if (exited && !exit) {
        return;
    }
    if (extension.report.receive(packet, 0) == ipc::ReceiveResult::empty && !exited) {
        return;
    }
    const auto report = ipc::decode<ipc::ChildReport>(packet.bytes);
    const bool granted = report && report->ok;
    if (report && !report->ok) {  // the one case in which the keeper cannot have them
        lease->record = std::move(extension.old_record);
    }
    close_report(extension.report);
    if (!exit) {
        abandon(std::move(extension.child));
    }
    lease->extension.reset();
    tell(ipc::ExtendResult{id, granted, report ? report->code : ErrorCode::device_busy,
                           report ? report->message : "the device's node could not be opened"});
}

}  // namespace iommud::vault
