#include "daemon/monitor/keepers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/base/bounds.hpp"
#include "daemon/base/log.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {

log::Field Keepers::lease_field(LeaseId id) {
    return {"IOMMUD_LEASE", std::to_string(id)};
}

void Keepers::fail_waiter(std::optional<Waiter>& waiter, const Error& error) {
    if (waiter) {
        if (const auto connection = waiter->connection.lock()) {
            connection->fail_request(waiter->cookie, error);
        }
        waiter.reset();
    }
}

// From the time since boot on: no answer to a monitor that was here before is taken for one to this.
Keepers::Keepers(Monitor& monitor)
    : monitor_(monitor),
      next_question_(static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count())) {}

void Keepers::attach(Lease& lease, ipc::Channel channel, UniqueFd pidfd) {
    lease.keeper_pidfd = std::move(pidfd);
    // A keeper's hang-up is not its end: the vault says that, once the kernel has let go.
    lease.keeper =
        AsyncChannel::open(monitor_.io(), std::move(channel), {.most_fds = 0, .most_queued = 64 * 1024},
                           {.packet = [this, id = lease.record.id](ipc::Packet& received) { packet(id, received); },
                            .ended = [this, id = lease.record.id](const std::string& why) { channel_ended(id, why); }});
}

void Keepers::channel_ended(LeaseId id, const std::string& why) {
    const Lease* lease = monitor_.leases().find(id);
    if (lease != nullptr && why != AsyncChannel::hung_up) {
        kill(*lease, why.c_str());
    }
}

void Keepers::held(const ipc::HeldLease& held, ipc::Channel channel, UniqueFd pidfd) {
    std::optional<LeaseRecord> record = ipc::decode_value<LeaseRecord>(held.record);
    if (!record || record->id != held.lease) {
        throw Fatal(fmt::format("the vault's record of lease {} is not one of ours", held.lease));
    }
    if (record->memory >
        most_memory) {  // by a daemon that had another bound: what it holds is counted as far as it goes
        log::warning(
            fmt::format("lease {} has {} bytes reserved, counted as {}", held.lease, record->memory, most_memory),
            {lease_field(held.lease)});
        record->memory = most_memory;
    }
    Lease& lease = monitor_.leases().open(std::move(*record));
    lease.state = held.settles     ? LeaseState::draining
                  : held.successor ? LeaseState::releasing
                  : channel.open() ? LeaseState::active
                                   : LeaseState::granting;  // a GrantResult or KeeperDied brings the keeper
    Result<Charge> charge = monitor_.ledger().charge_existing(
        lease.record.account_uid,
        limits_of(monitor_.policy().current(), lease.record.account_uid, lease.record.account_groups),
        {lease.record.memory, static_cast<std::uint32_t>(lease.record.devices.size()),
         lease.record.mode != Mode::managed});
    if (!charge) {
        throw Fatal(charge.error().message);
    }
    lease.charge = std::move(*charge);
    if (lease.record.mode != Mode::managed) {
        lease.mapped = lease.record.memory;
    }
    if (!channel.open()) {
        if (lease.state == LeaseState::granting) {
            expect(lease);
        }
        return;
    }
    attach(lease, std::move(channel), std::move(pidfd));
    lease.keeper->send(ipc::ReportRequest{});
    if (held.successor) {
        be_patient(lease, patience_to_unmap);
    } else {
        // The last monitor may have been told of an addition, or this record may have come of one that failed.
        ask_for_devices(lease);
    }
}

void Keepers::settle() {
    for (const auto& [id, lease] : monitor_.leases().all()) {
        if (lease->record.mode != Mode::managed) {
            given_unbound(*lease);  // the last monitor may not have come to that
        }
    }
}

void Keepers::granted(const ipc::GrantResult& result, ipc::Channel channel, UniqueFd pidfd) {
    Lease* lease = monitor_.leases().find(result.lease);
    if (lease == nullptr) {
        throw Fatal(fmt::format("the vault granted lease {}, which nobody asked for", result.lease));
    }
    if (result.granted) {
        attach(*lease, std::move(channel), std::move(pidfd));
        if (lease->taken_back) {
            // While there was no keeper to tell.
            const auto left = *lease->taken_back - std::chrono::steady_clock::now();
            const auto usec = std::chrono::duration_cast<std::chrono::microseconds>(left).count();
            lease->keeper->send(ipc::TakeBack{.grace_usec = static_cast<std::uint64_t>(std::max<std::int64_t>(usec, 0)),
                                              .reason = "taken back before it was given",
                                              .kill_holder = lease->condemned});
        }
        return;
    }
    monitor_.tenants().withdraw(lease->record.devices);
    fail_waiter(lease->grant, Error{result.code, result.message});
    ended(ipc::LeaseEnded{.lease = result.lease});
}

// The vault's child may have died between what it sent the keeper and what it said of it: the keeper has the last word.
// Without one the lease is ending, and gives everything back at its end.
void Keepers::extended(const ipc::ExtendResult& result) {
    Lease* lease = monitor_.leases().find(result.lease);
    if (lease != nullptr && lease->keeper) {
        if (!result.granted) {
            lease->addition_error = Error{result.code, result.message};
        }
        ask_for_devices(*lease);
    }
}

// Until the answer nothing is added: it could not have that yet.
void Keepers::ask_for_devices(Lease& lease) {
    lease.question = ++next_question_;
    lease.keeper->send(ipc::DevicesRequest{lease.question});
}

void Keepers::devices(Lease& lease, const ipc::KeeperDevices& has) {
    const std::size_t known = lease.record.devices.size();
    if (lease.question == 0 || has.number != lease.question) {
        return;  // the answer to a monitor that was here before
    }
    lease.question = 0;
    const Error error = std::exchange(lease.addition_error, {});
    if (has.count == 0) {
        return;  // it has given none out yet, and that will be told, too
    }
    if (has.count > known) {
        kill(lease, "has more devices than it was given");
        return;
    }
    is_given(lease);
    if (has.count == known) {
        lease.addition.reset();
        if (!std::exchange(lease.adding, {}).empty() && lease.record.mode != Mode::managed) {
            given_unbound(lease);
        }
        settle_tenants(lease);
        return;
    }
    if (lease.adding.empty()) {  // this monitor's predecessor asked for them
        lease.adding.assign(lease.record.devices.begin() + has.count, lease.record.devices.end());
    }
    withdraw_tenants(lease.adding, error);
    fail_waiter(lease.addition, error);
    lease.charge->withdraw(static_cast<std::uint32_t>(lease.adding.size()));
    for (const PciAddress& device : lease.adding) {
        monitor_.leases().forget_device(device);
        monitor_.views().device_changed(device);
        std::erase(lease.record.devices, device);
    }
    lease.adding.clear();
}

void Keepers::packet(LeaseId id, const ipc::Packet& packet) {
    Lease* lease = monitor_.leases().find(id);
    if (lease == nullptr) {
        return;
    }
    if (const auto message = ipc::decode<ipc::KeeperReport>(packet.bytes)) {
        report(*lease, *message);
    } else if (const auto failure = ipc::decode<ipc::KeeperFailed>(packet.bytes)) {
        failed(*lease, *failure);
    } else if (const auto has = ipc::decode<ipc::KeeperDevices>(packet.bytes)) {
        devices(*lease, *has);
    } else {
        kill(*lease, "sent a malformed frame");
    }
}

void Keepers::report(Lease& lease, const ipc::KeeperReport& report) {
    if (report.state < lease.state && !(lease.state == LeaseState::active && report.state == LeaseState::granting)) {
        kill(lease, "reported a state that it had left");
        return;
    }
    if (!lease.charge->set_mapped(report.mapped)) {
        kill(lease, "reported more mapped memory than it was granted");
        return;
    }
    const bool delivered = lease.state == LeaseState::granting && report.state == LeaseState::active;
    const bool dma_ended = lease.state < LeaseState::draining && report.state == LeaseState::draining;
    const bool begun = lease.state < LeaseState::releasing && report.state == LeaseState::releasing;
    const bool direct = lease.record.mode != Mode::managed;
    const bool only_mapped = report.state == lease.state && lease.adding.empty();
    lease.mapped = direct ? lease.record.memory : report.mapped;  // what its holder maps is not for the keeper to see
    lease.state = std::max(lease.state, report.state);
    if (delivered) {
        is_given(lease);
        lease.grant.reset();
        const LeaseRecord& record = lease.record;
        log::info(fmt::format("lease {} given to uid {} (pid {}): {} device(s), {} pinned at most, by rule {}",
                              record.id, record.holder_uid, record.holder_pid, record.devices.size(),
                              format_bytes(record.memory), record.rule),
                  {lease_field(record.id), {"IOMMUD_UID", std::to_string(record.holder_uid)}});
    }
    if (report.state == LeaseState::active) {
        settle_tenants(lease);
        if (direct && delivered) {
            given_unbound(lease);
        }
    }
    if (only_mapped) {
        monitor_.views().mapped_changed(lease);
    } else {
        monitor_.views().lease_changed(lease);
    }
    if (begun) {
        be_patient(lease, patience_to_unmap);
    }
    if (dma_ended) {
        lease.patience.reset();
        answer_releases(lease);
    }
}

void Keepers::failed(Lease& lease, const ipc::KeeperFailed& failure) {
    const Error error{failure.code, failure.message};
    if (lease.grant) {
        withdraw_tenants(lease.record.devices, error);
        fail_waiter(lease.grant, error);
        return;  // the keeper cleans up and exits; the charge goes back with LeaseEnded
    }
    lease.addition_error = error;  // the client hears it when the keeper has said what it has
}

// All but those that are being added: nobody has them yet.
void Keepers::settle_tenants(const Lease& lease) {
    std::vector<PciAddress> had = lease.record.devices;
    std::erase_if(had, [&lease](const PciAddress& device) {
        return std::find(lease.adding.begin(), lease.adding.end(), device) != lease.adding.end();
    });
    monitor_.tenants().settle(lease.record, had);
}

// They were not given. But who is busy with one is a program outside of the daemon: nobody knows whose it was last.
void Keepers::withdraw_tenants(const std::vector<PciAddress>& devices, const Error& why) {
    if (why.code != ErrorCode::device_busy) {
        monitor_.tenants().withdraw(devices);
    }
}

// A keeper that could not give the lease says so and exits, and the vault's word of the exit may be here first.
void Keepers::hear_why(const Lease& lease) {
    if (lease.grant && lease.keeper) {
        lease.keeper->read_what_is_there();
    }
}

void Keepers::died(const ipc::KeeperDied& death, ipc::Channel channel, UniqueFd pidfd) {
    Lease* lease = monitor_.leases().find(death.lease);
    if (lease == nullptr) {
        throw Fatal(fmt::format("the vault says that the keeper of lease {} died, which nobody has", death.lease));
    }
    if (death.revoked) {
        log::notice(
            fmt::format("lease {} is unmapped, and its holder (pid {}) killed", death.lease, lease->record.holder_pid),
            {lease_field(death.lease)});
    } else if (death.left) {
        log::notice(fmt::format("the keeper of lease {} {}; its successor drains", death.lease, death.status),
                    {lease_field(death.lease)});
    } else {
        log::error(fmt::format("the keeper of lease {} {}; its successor ends the lease", death.lease, death.status),
                   {lease_field(death.lease)});
    }
    hear_why(*lease);
    fail_waiter(lease->grant, Error{ErrorCode::internal, "the lease's keeper died"});
    fail_waiter(lease->addition, Error{ErrorCode::internal, "the lease's keeper died"});
    lease->state = LeaseState::releasing;  // where a successor begins, also after one that drained
    attach(*lease, std::move(channel), std::move(pidfd));
    be_patient(*lease, patience_to_unmap);
    if (lease->condemned && !death.revoked) {
        lease->keeper->send(ipc::TakeBack{.grace_usec = 0, .reason = "revoked", .kill_holder = true});
    }
    monitor_.views().lease_changed(*lease);
}

void Keepers::ended(const ipc::LeaseEnded& end) {
    Lease* lease = monitor_.leases().find(end.lease);
    if (lease == nullptr) {
        return;
    }
    hear_why(*lease);
    fail_waiter(lease->grant, Error{ErrorCode::internal, "the lease ended before it was given"});
    monitor_.views().lease_changed(*lease);
    std::vector<Waiter> waiting = std::move(lease->releases);
    log::info(fmt::format("lease {} ended", end.lease), {lease_field(end.lease)});
    const LeaseRecord record = std::move(lease->record);
    lease->charge.reset();
    monitor_.leases().close(end.lease);
    if (record.mode != Mode::managed) {
        monitor_.limit_keepers(record.account_uid);
        for (const PciAddress& device : record.devices) {
            monitor_.taints().look_at(device);
        }
    }
    for (const Waiter& waiter : waiting) {
        if (const auto connection = waiter.connection.lock()) {
            monitor_.views().bring_up_to_date(*connection);
            connection->send(ipc::RequestDone{.cookie = waiter.cookie});
        }
    }
}

void Keepers::answer_releases(Lease& lease) {
    for (const Waiter& waiter : lease.releases) {
        if (const auto connection = waiter.connection.lock()) {
            monitor_.views().bring_up_to_date(*connection);
            connection->send(ipc::RequestDone{.cookie = waiter.cookie});
        }
    }
    lease.releases.clear();
}

// Only the keeper of a managed lease binds, and sees whether a reset works.
void Keepers::given_unbound(const Lease& lease) {
    for (const PciAddress& device : lease.record.devices) {
        monitor_.refresh_device(device);
    }
    monitor_.taints().mark_all(lease.record.devices, lease.record);
    settle_tenants(lease);
}

}  // namespace iommud::monitor
