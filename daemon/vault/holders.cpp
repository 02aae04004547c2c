// Who holds direct leases: their RLIMIT_MEMLOCK follows what their user has reserved, as long as a lease of theirs is
// charged.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/vault/vault.hpp"

namespace iommud::vault {
namespace {

constexpr std::chrono::milliseconds until_next_sweep{100};

}  // namespace

// The process is the one behind a connection that this vault was given itself: a monitor names none.
Result<void> Vault::take_holder(Lease& lease, const ipc::GrantLease& request) {
    const auto worker = holdings_.workers.find(request.holder_slot);
    if (worker == holdings_.workers.end() || !worker->second.client.valid()) {
        return fail(ErrorCode::unsupported_mode, "mode direct: it is not known which process asks");
    }
    if (worker->second.client_uid != request.holder_uid) {
        return fail(ErrorCode::internal, "mode direct: the process that asks is another user's");
    }
    // A sweep under way knows nothing of this one, and would take its limit for one that was inherited.
    for (const auto& [id, other] : holdings_.leases) {
        if (other.settles == request.holder_uid) {
            signal(other.child, SIGKILL);  // the next takes its place
        }
    }
    lease.holder.emplace(UniqueFd(::fcntl(worker->second.client.get(), F_DUPFD_CLOEXEC, 0)), request.holder_uid);
    if (auto limited = limit_holder(lease); !limited) {
        return limited;
    }
    limit_holders_of(request.holder_uid);
    return {};
}

Result<void> Vault::limit_holder(Lease& lease) {
    if (!real_) {
        return {};
    }
    const Holder* like = nullptr;
    for (const auto& [id, other] : holdings_.leases) {
        if (&other != &lease && other.holder && other.holder->is(*lease.holder)) {
            like = &*other.holder;
        }
    }
    const std::uint64_t bytes = holdings_.direct_reserve(lease.holder->uid());
    if (auto limited = lease.holder->limit(bytes, like); !limited) {
        return limited;
    }
    const auto [entry, first] = holdings_.raised.try_emplace(lease.holder->uid(), Raised{});
    Raised& raised = entry->second;
    const rlim_t had = lease.holder->before().rlim_max;
    if (!first && had > raised.own && had <= raised.highest) {
        lease.holder->had_at_most(raised.own);  // inherited from another holder: it is not given back for its own
    } else {
        raised.own = std::max(raised.own, had);
    }
    raised.highest = std::max<rlim_t>(raised.highest, bytes);
    return {};
}

void Vault::limit_holders_of(uid_t uid) {
    for (auto& [id, lease] : holdings_.leases) {
        if (lease.holder && lease.holder->uid() == uid) {
            static_cast<void>(limit_holder(lease));  // or it has exited, and its keeper sees that
        }
    }
}

// The kernel has let go of the lease. What its holder's processes inherited of the limit is taken back first, and the
// lease stays charged until that is done: so nobody maps what nobody has reserved.
void Vault::end_lease(LeaseId id, std::optional<Error> refused) {
    Lease* lease = holdings_.find(id);
    if (lease == nullptr) {
        return;
    }
    lease->refused = std::move(refused);
    if (!lease->holder) {
        return forget_lease(id);
    }
    Holder holder = *std::exchange(lease->holder, std::nullopt);
    lease->settles = holder.uid();
    lease->phase = Phase::settling;
    lease->dma_ended = true;
    const auto same = [&holder](const auto& other) { return other.second.holder && other.second.holder->is(holder); };
    if (std::none_of(holdings_.leases.begin(), holdings_.leases.end(), same)) {
        holder.restore();
    }
    limit_holders_of(holder.uid());
    sweep(*lease);
}

void Vault::sweep(Lease& lease) {
    const LeaseId id = lease.start.lease;
    const uid_t uid = *lease.settles;
    const auto raised = holdings_.raised.find(uid);
    if (raised == holdings_.raised.end() ||
        uid == 0) {  // no limit holds root, and nobody lowers those of its processes
        return forget_lease(id);
    }
    // A holder of the leases that go on has their sum, and so may its children.
    const rlim_t allowed = std::max<rlim_t>(raised->second.own, holdings_.direct_reserve(uid));
    if (raised->second.highest <= allowed) {
        return forget_lease(id);
    }
    auto child = spawner_.sweeper({uid, allowed, raised->second.highest});
    if (!child) {
        return on_sweep_exit(id, false);
    }
    lease.child = std::move(*child);
    watch(lease.child.pidfd.borrow(), Source::keeper, id);
}

void Vault::on_sweep_exit(LeaseId id, bool clean) {
    Lease& lease = *holdings_.find(id);
    limit_holders_of(*lease.settles);  // one that came while it swept may have lost its limit to it
    if (clean) {
        return forget_lease(id);
    }
    if (++lease.sweeps == 3) {  // once or twice there was somebody to find, or another lease was given
        log::warning(fmt::format("lease {} stays charged: processes of uid {} still have the limit that it raised", id,
                                 *lease.settles),
                     {{"IOMMUD_LEASE", std::to_string(id)}});
    }
    schedule(Due::sweep, std::max<Clock::duration>(back_off(lease.sweeps), until_next_sweep), id);
}

void Vault::forget_lease(LeaseId id) {
    const Lease& lease = holdings_.leases.at(id);
    unwatch(lease.word.borrow());
    const std::optional<uid_t> settled = lease.settles;
    const std::optional<Error> refused = lease.refused;
    const bool asked_by_this = lease.asked_by == link_.generation();
    holdings_.leases.erase(id);
    if (settled && !holdings_.has_direct(*settled)) {
        holdings_.raised.erase(*settled);
    }
    if (refused && asked_by_this) {
        tell(ipc::GrantResult{id, false, refused->code, refused->message});
    } else {
        tell(ipc::LeaseEnded{id});
    }
}

}  // namespace iommud::vault
