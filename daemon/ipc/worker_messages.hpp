// Between a worker and the monitor. A worker speaks for the one client it serves; the monitor checks every frame as if
// an attacker had written it. A cookie is the worker's own number for a request, given back in every answer to it.
//
// Order: the monitor sends WorkerStart, ManagerView, then a DeviceView for each device and a LeaseView for each lease
// that the connection may see, then ViewComplete; afterwards the same frames (and the *Gone ones) as things change.
// A change that a request causes is sent before the answer to that request.
#pragma once

#include "daemon/ipc/types.hpp"

namespace iommud::ipc {

// One numbering for all channels, so that a frame on the wrong channel is of an unknown type there.
enum class MessageType : std::uint32_t {
    // worker -> monitor
    acquire_request = 1,
    explain_request = 2,
    accounts_request = 3,
    release_request = 4,
    add_request = 5,
    revoke_request = 6,
    reload_request = 7,
    policy_request = 8,
    open_endpoint_request = 9,
    close_endpoint_request = 10,
    vouched_request = 11,
    // monitor -> worker
    worker_start = 32,
    manager_view = 33,
    device_view = 34,
    device_gone = 35,
    lease_view = 36,
    lease_gone = 37,
    view_complete = 38,
    request_failed = 39,
    request_done = 40,
    delivery_coming = 41,
    explain_entries = 42,
    accounts_entries = 43,
    policy_entries = 44,
    endpoint_opened = 45,
    forget_answers = 46,
    // monitor -> vault
    start_worker = 64,
    grant_lease = 65,
    extend_lease = 66,
    set_limit = 67,
    kill_child = 68,
    hold = 69,
    unhold = 70,
    condemn_holder = 71,
    replace_undertaker = 72,
    // vault -> monitor
    vault_hello = 96,
    held_lease = 97,
    held_thing = 98,
    holdings_complete = 99,
    worker_exited = 100,
    grant_result = 101,
    keeper_died = 102,
    lease_ended = 103,
    extend_result = 104,
    undertaker_coming = 105,
    // to and from a keeper
    keeper_start = 128,
    keeper_add = 129,
    report_request = 130,
    take_back = 131,
    keeper_report = 132,
    keeper_failed = 133,
    delivery = 134,
    devices_request = 135,
    keeper_devices = 136,
    // a vault's child that is not yet a keeper or worker -> vault
    child_report = 160,
};

// ---- worker -> monitor

struct AcquireRequest {
    static constexpr MessageType type = MessageType::acquire_request;
    std::uint64_t cookie = 0;
    std::vector<PciAddress> devices;
    Mode mode = Mode::managed;
    std::optional<std::uint64_t> memory;  // bytes; absent: the daemon's default
    std::string label;
    std::string vf_token{};  // a UUID, and a secret; empty: none
    auto fields() { return std::tie(cookie, devices, mode, memory, label, vf_token); }
};

struct ExplainRequest {
    static constexpr MessageType type = MessageType::explain_request;
    std::uint64_t cookie = 0;
    std::optional<std::string> user;  // name or decimal uid; only the admin socket may ask about others
    std::vector<PciAddress> devices;
    Mode mode = Mode::managed;
    std::optional<std::uint64_t> memory;
    auto fields() { return std::tie(cookie, user, devices, mode, memory); }
};

struct AccountsRequest {
    static constexpr MessageType type = MessageType::accounts_request;
    std::uint64_t cookie = 0;
    auto fields() { return std::tie(cookie); }
};

struct ReleaseRequest {
    static constexpr MessageType type = MessageType::release_request;
    std::uint64_t cookie = 0;
    LeaseId lease = 0;
    auto fields() { return std::tie(cookie, lease); }
};

// Hotplug into a lease's context; answered like an AcquireRequest.
struct AddRequest {
    static constexpr MessageType type = MessageType::add_request;
    std::uint64_t cookie = 0;
    LeaseId lease = 0;
    std::vector<PciAddress> devices;
    auto fields() { return std::tie(cookie, lease, devices); }
};

struct RevokeRequest {  // admin only
    static constexpr MessageType type = MessageType::revoke_request;
    std::uint64_t cookie = 0;
    LeaseId lease = 0;
    std::uint64_t grace_usec = 0;
    std::string reason;
    auto fields() { return std::tie(cookie, lease, grace_usec, reason); }
};

struct ReloadRequest {  // admin only
    static constexpr MessageType type = MessageType::reload_request;
    std::uint64_t cookie = 0;
    auto fields() { return std::tie(cookie); }
};

struct PolicyRequest {  // admin only
    static constexpr MessageType type = MessageType::policy_request;
    std::uint64_t cookie = 0;
    auto fields() { return std::tie(cookie); }
};

// Answered by EndpointOpened. What each is: daemon/monitor/endpoint.hpp.
struct OpenEndpointRequest {  // admin only
    static constexpr MessageType type = MessageType::open_endpoint_request;
    std::uint64_t cookie = 0;
    std::string id;
    std::uint32_t pid = 0;
    std::uint32_t owner = 0;  // uid
    std::vector<PciAddress> devices;
    std::optional<std::uint64_t> memory;  // bytes
    std::map<std::string, std::string> annotations;
    auto fields() { return std::tie(cookie, id, pid, owner, devices, memory, annotations); }
};

struct CloseEndpointRequest {  // admin only
    static constexpr MessageType type = MessageType::close_endpoint_request;
    std::uint64_t cookie = 0;
    std::string id;
    bool if_ended = false;  // only when its container has ended
    bool own = false;       // only when it was opened over this very connection
    auto fields() { return std::tie(cookie, id, if_ended, own); }
};

// From the system bus's worker only, and only what is open there: `request` is the frame of another request, asked by
// somebody whose uid and groups the bus told the worker.
struct VouchedRequest {
    static constexpr MessageType type = MessageType::vouched_request;
    std::uint64_t cookie = 0;  // that of `request`
    std::uint32_t uid = 0xffffffff;
    std::vector<std::uint32_t> groups;
    Bytes request;
    auto fields() { return std::tie(cookie, uid, groups, request); }
};

// ---- monitor -> worker

struct WorkerStart {
    static constexpr MessageType type = MessageType::worker_start;
    ConnectionKind kind = ConnectionKind::client;
    std::uint32_t uid = 0;  // the peer's, for the worker's log only
    auto fields() { return std::tie(kind, uid); }
};

struct ManagerView {
    static constexpr MessageType type = MessageType::manager_view;
    std::string version;
    KernelInterface kernel = KernelInterface::iommufd;
    std::vector<std::string> features;
    std::uint64_t policy_generation = 0;
    std::vector<std::string> degraded;  // reasons; empty: not degraded
    auto fields() { return std::tie(version, kernel, features, policy_generation, degraded); }
};

struct DeviceView {
    static constexpr MessageType type = MessageType::device_view;
    PciAddress address;
    std::uint16_t vendor = 0;
    std::uint16_t device = 0;
    std::uint32_t class_code = 0;  // 24 bits
    std::string name;              // from the hardware database; may be empty
    std::int32_t iommu_group = -1;
    std::string driver;  // empty: none
    DeviceState state = DeviceState::unbound;
    std::string reason;  // for `unsafe`, `blocked`, `host`, `unbound`: why, and what would change it
    LeaseId lease = 0;   // 0: none, or not this connection's to know
    std::int32_t numa_node = -1;
    std::vector<std::string> capabilities;
    std::string path;  // where it is plugged in (daemon/base/pci_path.hpp); may be empty
    std::string slot;  // the firmware's name of that place; may be empty
    bool tainted = false;
    auto fields() {
        return std::tie(address, vendor, device, class_code, name, iommu_group, driver, state, reason, lease, numa_node,
                        capabilities, path, slot, tainted);
    }
};

struct DeviceGone {
    static constexpr MessageType type = MessageType::device_gone;
    PciAddress address;
    auto fields() { return std::tie(address); }
};

struct LeaseView {
    static constexpr MessageType type = MessageType::lease_view;
    LeaseRecord record;
    LeaseState state = LeaseState::granting;
    std::uint64_t mapped = 0;  // bytes, at most 100 ms old
    auto fields() { return std::tie(record, state, mapped); }
};

struct LeaseGone {
    static constexpr MessageType type = MessageType::lease_gone;
    LeaseId lease = 0;
    auto fields() { return std::tie(lease); }
};

struct ViewComplete {
    static constexpr MessageType type = MessageType::view_complete;
    auto fields() { return std::tie(); }
};

struct RequestFailed {
    static constexpr MessageType type = MessageType::request_failed;
    std::uint64_t cookie = 0;
    ErrorCode code = ErrorCode::internal;
    std::string message;
    auto fields() { return std::tie(cookie, code, message); }
};

struct RequestDone {
    static constexpr MessageType type = MessageType::request_done;
    std::uint64_t cookie = 0;
    auto fields() { return std::tie(cookie); }
};

// With one descriptor: the end of a socket pair in which the keeper's Delivery will stand, once. The request ends with
// that Delivery, or with a RequestFailed; a hang-up of the pair without a Delivery means that a RequestFailed follows.
// With the lease as it will be seen: whoever gets the Delivery asks for the lease's properties next.
struct DeliveryComing {
    static constexpr MessageType type = MessageType::delivery_coming;
    std::uint64_t cookie = 0;
    LeaseView lease;
    auto fields() { return std::tie(cookie, lease); }
};

// Any number of these, the last with `last` set.
struct ExplainEntries {
    static constexpr MessageType type = MessageType::explain_entries;
    std::uint64_t cookie = 0;
    bool last = true;
    bool lasting = false;  // who asks the same on this connection gets the same, until a ForgetAnswers
    bool allowed = false;
    std::string decision;      // one sentence
    std::vector<Texts> trace;  // "rule", "effect", "matched" ("yes"/"no"), "why", "where"
    auto fields() { return std::tie(cookie, last, lasting, allowed, decision, trace); }
};

// Policy or devices have changed: what was answered with `lasting` counts no more. Sent before anybody is told that
// they have.
struct ForgetAnswers {
    static constexpr MessageType type = MessageType::forget_answers;
    auto fields() { return std::tie(); }
};

struct EndpointOpened {
    static constexpr MessageType type = MessageType::endpoint_opened;
    std::uint64_t cookie = 0;
    std::string path;  // of the folder to mount
    auto fields() { return std::tie(cookie, path); }
};

struct AccountEntry {
    std::uint32_t uid = 0;
    std::uint64_t memory_limit = 0;
    std::uint64_t memory_reserved = 0;
    std::uint64_t memory_mapped = 0;
    std::uint32_t leases = 0;
    std::uint32_t lease_limit = 0;
    std::uint32_t devices = 0;
    std::uint32_t device_limit = 0;
    auto fields() {
        return std::tie(uid, memory_limit, memory_reserved, memory_mapped, leases, lease_limit, devices, device_limit);
    }
};

struct AccountsEntries {
    static constexpr MessageType type = MessageType::accounts_entries;
    std::uint64_t cookie = 0;
    bool last = true;
    std::vector<AccountEntry> accounts;
    auto fields() { return std::tie(cookie, last, accounts); }
};

// Any number of these, the last with `last` set.
struct PolicyEntries {
    static constexpr MessageType type = MessageType::policy_entries;
    std::uint64_t cookie = 0;
    bool last = true;
    std::vector<Texts> entries;  // "kind", "name", "says", "where"
    auto fields() { return std::tie(cookie, last, entries); }
};

}  // namespace iommud::ipc
