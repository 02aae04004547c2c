// Who holds direct leases: their RLIMIT_MEMLOCK follows what their user has reserved, as long as a lease of theirs is
// charged.
#include <fcntl.h>

#include <algorithm>

#include "daemon/vault/vault.hpp"

namespace iommud::vault {

// The process is the one behind a connection that this vault was given itself: a monitor names none.
Result<void> Vault::take_holder(Lease& lease, const ipc::GrantLease& request) {
    const auto worker = holdings_.workers.find(request.holder_slot);
    if (worker == holdings_.workers.end() || !worker->second.client.valid()) {
        return fail(ErrorCode::unsupported_mode, "mode direct: it is not known which process asks");
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
    return lease.holder->limit(holdings_.direct_reserve(lease.holder->uid()), like);
}

void Vault::limit_holders_of(uid_t uid) {
    for (auto& [id, lease] : holdings_.leases) {
        if (lease.holder && lease.holder->uid() == uid) {
            static_cast<void>(limit_holder(lease));  // or it has exited, and its keeper sees that
        }
    }
}

void Vault::forget_lease(LeaseId id) {
    const auto entry = holdings_.leases.extract(id);
    if (entry.empty()) {
        return;
    }
    unwatch(entry.mapped().word.borrow());
    if (!entry.mapped().holder) {
        return;
    }
    Holder& holder = *entry.mapped().holder;
    const auto same = [&holder](const auto& other) { return other.second.holder && other.second.holder->is(holder); };
    if (std::none_of(holdings_.leases.begin(), holdings_.leases.end(), same)) {
        holder.restore();
    }
    limit_holders_of(holder.uid());
}

}  // namespace iommud::vault
