// How long a keeper may take: to give a lease, to begin to end it, and to end its DMA. One timer for each lease, for
// only one of these is waited for at a time.
#include <fmt/format.h>

#include "daemon/base/log.hpp"
#include "daemon/monitor/keepers.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {

void Keepers::take_back(Lease& lease, std::uint64_t grace_usec, const std::string& reason, bool revoked) {
    const std::chrono::microseconds grace(grace_usec);
    lease.condemned = lease.condemned || (revoked && lease.record.mode != Mode::managed);
    if (revoked && lease.condemned) {
        monitor_.vault().send(ipc::CondemnHolder{.lease = lease.record.id, .grace_usec = grace_usec});
    }
    if (lease.keeper) {
        lease.keeper->send(ipc::TakeBack{.grace_usec = grace_usec, .reason = reason, .kill_holder = lease.condemned});
    }
    lease.taken_back = std::chrono::steady_clock::now() + grace;
    if (lease.state < LeaseState::releasing) {
        be_patient(lease, grace + patience_to_begin);
    }
}

void Keepers::be_patient(Lease& lease, std::chrono::microseconds patience) {
    lease.patience.emplace(monitor_.io());
    lease.patience->expires_after(patience);
    lease.patience->async_wait([this, id = lease.record.id](const boost::system::error_code& error) {
        if (!error) {
            lose_patience(id);
        }
    });
}

void Keepers::expect(Lease& lease) {
    if (!lease.taken_back) {
        be_patient(lease, std::chrono::seconds(monitor_.options().grant_timeout));
    }
}

void Keepers::is_given(Lease& lease) {
    if (!lease.taken_back && lease.state < LeaseState::releasing) {
        lease.patience.reset();
    }
}

// The keeper of a lease that is in use stays: its holder would lose that for somebody else's call.
void Keepers::give_up_waiting(Lease& lease) {
    const Error error{
        ErrorCode::device_busy,
        fmt::format(
            "the kernel has not given it within {} s: it is being reset, or whoever holds another device on its "
            "bus keeps the lock of the bus; try again",
            monitor_.options().grant_timeout)};
    if (lease.state == LeaseState::granting) {
        fail_waiter(lease.grant, error);
        kill(lease, "does not come to give its lease");
    } else {
        fail_waiter(lease.addition, error);
    }
}

void Keepers::lose_patience(LeaseId id) {
    Lease* lease = monitor_.leases().find(id);
    if (lease != nullptr && lease->state < LeaseState::releasing && !lease->taken_back) {
        give_up_waiting(*lease);
    } else if (lease != nullptr && lease->state < LeaseState::draining) {
        kill(*lease, lease->state < LeaseState::releasing ? "does not end its lease" : "does not end its lease's DMA");
    }
}

void Keepers::kill(const Lease& lease, const char* fault) {
    log::error(fmt::format("the keeper of lease {} {}: killed", lease.record.id, fault),
               {lease_field(lease.record.id)});
    monitor_.vault().send(ipc::KillChild{.kind = ipc::ChildKind::keeper, .id = lease.record.id});
}

}  // namespace iommud::monitor
