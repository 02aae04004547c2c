// Acquire: look at the devices, ask policy, charge, and have the vault start a keeper. The order is part of the
// contract: what a caller may not have it is not told the state of.
#include <fmt/format.h>
#include <sys/time.h>

#include <algorithm>
#include <set>

#include "daemon/base/bounds.hpp"
#include "daemon/base/bytes.hpp"
#include "daemon/base/log.hpp"
#include "daemon/base/uuid.hpp"
#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/device_request.hpp"
#include "daemon/monitor/direct_mode.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

std::uint64_t now_usec() {
    timeval now{};
    ::gettimeofday(&now, nullptr);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_usec);
}

std::vector<std::string> faults_of(const Monitor& monitor, const std::vector<PciAddress>& devices) {
    std::vector<std::string> faults;
    for (const PciAddress& address : devices) {
        const Device* const device = monitor.inventory().find(address);
        for (const std::string& fault : device == nullptr ? std::vector<std::string>() : device->faults) {
            faults.push_back(address.text() + " " + fault);
        }
    }
    return faults;
}

Result<policy::Decision> approve(Monitor& monitor, const Connection& connection, const ipc::AcquireRequest& request) {
    if (request.label.size() > longest_text) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("label has {} bytes, at most {} are allowed", request.label.size(), longest_text));
    }
    if (!request.vf_token.empty() && (request.mode != Mode::managed || !parse_uuid(request.vf_token))) {
        return fail(
            ErrorCode::invalid_argument,
            request.mode != Mode::managed
                ? fmt::format("mode {}: a VF token is for the program that binds the device", name_of(request.mode))
                : "the VF token is no lower-case UUID");
    }
    if (Result<void> given = mode_given(monitor, request.mode); !given) {
        return tl::unexpected(given.error());
    }
    const auto memory = within_endpoint(connection.via().get(), request.devices, request.memory);
    if (!memory) {
        return tl::unexpected(memory.error());
    }
    Result<policy::Request> asked = device_request(monitor, request.devices, request.mode, *memory);
    if (!asked) {
        return tl::unexpected(asked.error());
    }
    const policy::Subject subject = subject_of(connection);
    policy::Decision decision = policy::evaluate(monitor.policy().current(), subject, *asked);
    if (!decision.allowed) {
        return fail(decision.code, decision.message);
    }
    if (Result<void> safe = memory_is_safe(monitor, request.mode, decision.allow_uncleared_memory); !safe) {
        return tl::unexpected(safe.error());
    }
    if (Result<void> fits = caller_fits(connection, request.mode); !fits) {
        return tl::unexpected(fits.error());
    }
    if (Result<void> free = devices_free(monitor, connection, request.devices, request.mode); !free) {
        return tl::unexpected(free.error());
    }
    if (!request.vf_token.empty() && vf_token_for(monitor, request.devices, request.mode).empty()) {
        return fail(ErrorCode::invalid_argument,
                    "a VF token was given, and none of the devices takes one: they are no virtual functions of a "
                    "device that VFIO has, nor such a device");
    }
    return decision;
}

}  // namespace

void answer_acquire(Monitor& monitor, Connection& connection, const ipc::AcquireRequest& request) {
    const Result<policy::Decision> decision = approve(monitor, connection, request);
    if (!decision) {
        log::debug(fmt::format("{} does not get a lease: {}", connection.who().text(), decision.error().message));
        connection.fail_request(request.cookie, decision.error());
        return;
    }
    const policy::Account& account = *decision->account;  // an allowed request has one
    const Limits limits{account.memory, account.leases, account.devices};
    const bool direct = request.mode != Mode::managed;
    const std::vector<PciAddress> no_reset_allowed = monitor.tenants().no_reset_allowed(
        request.devices, connection.who().uid, connection.endpoint(), decision->allow_no_reset);
    if (Result<void> known = direct ? resets_known(monitor, request.devices, no_reset_allowed) : Result<void>();
        !known) {
        connection.fail_request(request.cookie, known.error());
        return;
    }
    const Claim claim{decision->memory, static_cast<std::uint32_t>(request.devices.size()), direct};
    Result<Charge> charge = monitor.ledger().charge(account.uid, limits, claim);
    auto delivery = ipc::Channel::pair();
    if (!charge || !delivery) {
        connection.fail_request(request.cookie, charge ? delivery.error() : charge.error());
        return;
    }

    Lease& lease = monitor.leases().open(
        {.id = monitor.leases().next_id(),
         .account_uid = account.uid,
         .account_groups = account.group ? std::vector{*account.group} : std::vector<std::uint32_t>{},
         .holder_uid = connection.who().uid,
         .holder_pid = static_cast<std::uint32_t>(connection.who().pid),
         .endpoint = connection.endpoint(),
         .mode = request.mode,
         .label = request.label,
         .rule = decision->rule,
         .memory = charge->memory(),
         .created_usec = now_usec(),
         .devices = request.devices});
    lease.charge = std::move(*charge);
    lease.grant = Waiter{connection.answers_to(), request.cookie};

    const std::vector<PciAddress> token_takers = vf_token_for(monitor, request.devices, request.mode);
    const std::string token = request.vf_token.empty() ? decision->vf_token.value_or("") : request.vf_token;
    if (direct) {
        monitor.limit_keepers(account.uid);
        monitor.taints().mark_all(request.devices, lease.record);
    }
    monitor.tenants().begin(lease.record, request.devices);

    // The vault first: it has the most to do.
    std::vector<UniqueFd> to_keeper;
    delivery->second.refuse_descriptors();  // the worker has nothing to send there
    to_keeper.push_back(delivery->second.take());
    monitor.vault().send(ipc::GrantLease{.lease = lease.record.id,
                                         .account_uid = account.uid,
                                         .mode = request.mode,
                                         .reserve = lease.record.memory,
                                         .memlock = monitor.ledger().figures(account.uid).managed_memory(),
                                         .memory_max = Monitor::cgroup_memory(account.memory),
                                         .maps = decision->maps,
                                         .devices = request.devices,
                                         .no_reset_allowed = no_reset_allowed,
                                         .record = ipc::encode_value(lease.record),
                                         .holder_uid = lease.record.holder_uid,
                                         .holder_slot = connection.slot().value_or(0),
                                         .vf_token = token_takers.empty() ? "" : token,
                                         .vf_token_for = token.empty() ? std::vector<PciAddress>() : token_takers,
                                         .faults = faults_of(monitor, request.devices)},
                         std::move(to_keeper));
    monitor.keepers().expect(lease);
    std::vector<UniqueFd> to_worker;
    to_worker.push_back(delivery->first.take());
    connection.send(ipc::DeliveryComing{.cookie = request.cookie, .lease = view_of(lease)}, std::move(to_worker));
    monitor.views().lease_granting(lease);
}

}  // namespace iommud::monitor
