// Add: further devices into a lease's own context (hotplug). The same questions as for Acquire, of the same client; the
// memory stays what it was.
#include <fmt/format.h>

#include "daemon/base/bounds.hpp"
#include "daemon/base/log.hpp"
#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/device_request.hpp"
#include "daemon/monitor/direct_mode.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

Result<policy::Decision> approve(Monitor& monitor, const Connection& connection, const Lease& lease,
                                 const std::vector<PciAddress>& devices) {
    if (lease.state != LeaseState::active || !lease.adding.empty() || lease.question != 0) {
        return fail(
            ErrorCode::invalid_argument,
            fmt::format("lease {} is {}{}: nothing can be added to it now", lease.record.id, name_of(lease.state),
                        !lease.adding.empty() ? ", with an addition under way"
                        : lease.question != 0 ? ", and its keeper has not said yet which devices it has"
                                              : ""));
    }
    if (lease.record.devices.size() + devices.size() > most_lease_devices) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("lease {} has {} devices, {} more were asked, at most {} fit", lease.record.id,
                                lease.record.devices.size(), devices.size(), most_lease_devices));
    }
    if (const auto within = within_endpoint(connection.via().get(), devices, std::nullopt); !within) {
        return tl::unexpected(within.error());
    }
    const Result<policy::Request> asked = device_request(monitor, devices, lease.record.mode, lease.record.memory);
    if (!asked) {
        return tl::unexpected(asked.error());
    }
    policy::Decision decision = policy::evaluate(monitor.policy().current(), subject_of(connection), *asked);
    if (!decision.allowed) {
        return fail(decision.code, decision.message);
    }
    const Mode mode = lease.record.mode;
    if (Result<void> fits = caller_fits(connection, mode); !fits) {
        return tl::unexpected(fits.error());
    }
    if (Result<void> free = devices_free(monitor, connection, devices, mode); !free) {
        return tl::unexpected(free.error());
    }
    return decision;
}

}  // namespace

void answer_add(Monitor& monitor, Connection& connection, const ipc::AddRequest& request) {
    Lease* lease = monitor.leases().find(request.lease);
    if (lease == nullptr || !may_see(connection, lease->record)) {
        connection.fail_request(request.cookie, {ErrorCode::no_such_lease, fmt::format("no lease {}", request.lease)});
        return;
    }
    const Result<policy::Decision> decision = approve(monitor, connection, *lease, request.devices);
    auto delivery = ipc::Channel::pair();
    if (!decision || !delivery) {
        connection.fail_request(request.cookie, decision ? delivery.error() : decision.error());
        return;
    }
    const bool direct = lease->record.mode != Mode::managed;
    if (Result<void> safe = memory_is_safe(monitor, lease->record.mode, decision->allow_uncleared_memory); !safe) {
        connection.fail_request(request.cookie, safe.error());
        return;
    }
    const std::vector<PciAddress> no_reset_allowed = monitor.tenants().no_reset_allowed(
        request.devices, lease->record.holder_uid, connection.endpoint(), decision->allow_no_reset);
    if (Result<void> known = direct ? resets_known(monitor, request.devices, no_reset_allowed) : Result<void>();
        !known) {
        connection.fail_request(request.cookie, known.error());
        return;
    }
    if (Result<void> charged = lease->charge->extend(static_cast<std::uint32_t>(request.devices.size())); !charged) {
        connection.fail_request(request.cookie, charged.error());
        return;
    }
    lease->adding = request.devices;
    lease->addition = Waiter{connection.answers_to(), request.cookie};
    for (const PciAddress& device : request.devices) {
        monitor.leases().index_device(device, lease->record.id);
        lease->record.devices.push_back(device);
    }
    if (direct) {
        monitor.taints().mark_all(request.devices, lease->record);
    }
    monitor.tenants().begin(lease->record, request.devices);
    monitor.views().lease_changed(*lease);
    monitor.views().bring_up_to_date(connection);

    const std::vector<PciAddress> token_takers = vf_token_for(monitor, request.devices, lease->record.mode);
    std::vector<UniqueFd> to_worker;
    to_worker.push_back(delivery->first.take());
    connection.send(ipc::DeliveryComing{.cookie = request.cookie, .lease = view_of(*lease)}, std::move(to_worker));
    std::vector<UniqueFd> to_keeper;
    delivery->second.refuse_descriptors();  // the worker has nothing to send there
    to_keeper.push_back(delivery->second.take());
    monitor.vault().send(ipc::ExtendLease{.lease = lease->record.id,
                                          .devices = request.devices,
                                          .no_reset_allowed = no_reset_allowed,
                                          .record = ipc::encode_value(lease->record),
                                          .vf_token = token_takers.empty() ? "" : decision->vf_token.value_or(""),
                                          .vf_token_for = token_takers},
                         std::move(to_keeper));
    monitor.keepers().expect(*lease);
    log::info(fmt::format("lease {} gets {} more device(s)", lease->record.id, request.devices.size()),
              {{"IOMMUD_LEASE", std::to_string(lease->record.id)}});
}

}  // namespace iommud::monitor
