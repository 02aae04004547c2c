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
    return Exit{exited && info.si_status == 0, exited && info.si_status == ipc::keeper_exit_revoked,
                describe_exit(info.si_code, info.si_status)};
}

void Vault::signal(const Child& child, int number) const {
    static_cast<void>(
        ::syscall(SYS_pidfd_send_signal, child.pidfd.get(), number, nullptr, 0));  // or it is gone already
}

void Vault::abandon(Child child) {
    watch(child.pidfd.borrow(), Source::other, next_abandoned_);
    abandoned_.emplace(next_abandoned_++, std::move(child));
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

void Vault::start_successor(Lease& lease, const std::string& how_it_died, bool revoked) {
    const LeaseId id = lease.start.lease;
    close_report(lease.report);
    lease.start.role = ipc::KeeperRole::successor;
    if (const auto started = start_keeper(lease, BorrowedFd()); !started) {
        log::error(fmt::format("lease {}: no successor yet: {}", id, started.error().message));
        lease.phase = Phase::between;
        schedule(Due::successor, back_off(++lease.deaths + 1), id);
        return;
    }
    lease.phase = Phase::cleaning;
    const std::array<BorrowedFd, 2> fds{lease.control.fd(), lease.child.pidfd.borrow()};
    tell(ipc::KeeperDied{id, how_it_died, revoked}, fds);
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

void Vault::on_keeper_exit(LeaseId id) {
    Lease* lease = holdings_.find(id);
    const auto exit = lease == nullptr ? std::nullopt : reap(lease->child);
    if (!exit) {
        return;
    }
    on_report(id);
    const bool failed = lease->phase == Phase::opening;
    if (!failed && exit->revoked && lease->holder) {
        lease->holder->kill();
        return start_successor(*lease, exit->text, true);
    }
    if (!failed && !exit->clean) {
        const std::string& why = lease->failure.message;
        log::warning(fmt::format("lease {}: its keeper {}{}{}", id, exit->text, why.empty() ? "" : ": ", why),
                     {{"IOMMUD_LEASE", std::to_string(id)}});
        lease->failure = {};
        lease->phase = Phase::between;
        const auto wait = back_off(++lease->deaths);
        return wait.count() == 0 ? start_successor(*lease, exit->text) : schedule(Due::successor, wait, id);
    }
    const Error failure = lease->failure.message.empty()
                              ? Error{ErrorCode::internal, "the keeper " + exit->text + " before it was one"}
                              : lease->failure;
    const bool asked_by_this = lease->asked_by == link_.generation();
    close_report(lease->report);
    if (lease->extension) {
        close_report(lease->extension->report);
        abandon(std::move(lease->extension->child));
    }
    forget_lease(id);
    if (failed && asked_by_this) {
        tell(ipc::GrantResult{id, false, failure.code, failure.message});
    } else {
        tell(ipc::LeaseEnded{id});
    }
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
    if (granted) {
        lease->record = std::move(extension.record);
    }
    const bool asked_by_this = extension.asked_by == link_.generation();
    close_report(extension.report);
    if (!exit) {
        abandon(std::move(extension.child));
    }
    lease->extension.reset();
    if (asked_by_this) {
        tell(ipc::ExtendResult{id, granted, report ? report->code : ErrorCode::device_busy,
                               report ? report->message : "the device's node could not be opened"});
    }
}

}  // namespace iommud::vault
