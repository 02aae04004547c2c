// Between the monitor and the vault: five verbs, and what the vault says of its own accord. The vault takes no path, no
// program name and no uid to run as from the monitor: only addresses, slots and accounts.
#pragma once

#include "daemon/base/bounds.hpp"
#include "daemon/ipc/freed_memory.hpp"
#include "daemon/ipc/worker_messages.hpp"

namespace iommud::ipc {

inline constexpr std::uint32_t worker_uid_base = 0x78000000;  // + connection slot, unless --worker-uids says otherwise
inline constexpr std::uint32_t max_worker_slot = 1088;
inline constexpr std::uint32_t undertaker_slot = max_worker_slot;  // its uid is the next after the workers'
inline constexpr std::uint32_t keeper_uid_base =
    0x70000000;  // the first account's, unless --keeper-uids says otherwise
inline constexpr std::size_t max_record = max_string;
inline constexpr std::uint64_t max_grace_usec = 24ULL * 3600 * 1'000'000;  // of a take-back

// ---- monitor -> vault

// Verb 1. Descriptors: for client and admin the connection, then the worker's end of its channel; for system_bus the
// latter only. The monitor sends WorkerStart on its own end.
struct StartWorker {
    static constexpr MessageType type = MessageType::start_worker;
    std::uint32_t slot = 0;
    ConnectionKind kind = ConnectionKind::client;
    std::uint64_t owner = 0;  // Burial::Owner: on whose account the connection is closed
    auto fields() { return std::tie(slot, kind, owner); }
};

// Verb 2. Descriptor: the keeper's end of the delivery pair. Answered by GrantResult.
struct GrantLease {
    static constexpr MessageType type = MessageType::grant_lease;
    LeaseId lease = 0;
    std::uint32_t account_uid = 0;
    Mode mode = Mode::managed;
    std::uint64_t reserve = 0;     // bytes this lease may map
    std::uint64_t memlock = 0;     // RLIMIT_MEMLOCK of the keeper: the account's limit less its direct reservations
    std::uint64_t memory_max = 0;  // memory.max of the account's cgroup
    std::uint32_t maps = 0;        // most maps at a time
    std::vector<PciAddress> devices;
    std::vector<PciAddress> no_reset_allowed;  // devices that may be given although they cannot be reset
    Bytes record;                              // a LeaseRecord, which the vault does not read
    // Mode direct: whose connection this worker slot serves gets RLIMIT_MEMLOCK, the sum of what `holder_uid` has
    // reserved in that mode, and is killed when the lease is revoked.
    std::uint32_t holder_uid = 0;
    std::uint32_t holder_slot = 0;
    std::string vf_token{};                  // a UUID for the kernel, and a secret; empty: none
    std::vector<PciAddress> vf_token_for{};  // those of `devices` that take it
    std::vector<std::string> faults{};       // of the simulated kernel: "0000:00:04.0 bind EPERM"
    auto fields() {
        return std::tie(lease, account_uid, mode, reserve, memlock, memory_max, maps, devices, no_reset_allowed, record,
                        holder_uid, holder_slot, vf_token, vf_token_for, faults);
    }
};

// Verb 3. Descriptor: the keeper's end of a delivery pair. `record` replaces the old one. Answered by ExtendResult.
struct ExtendLease {
    static constexpr MessageType type = MessageType::extend_lease;
    LeaseId lease = 0;
    std::vector<PciAddress> devices;
    std::vector<PciAddress> no_reset_allowed;
    Bytes record;
    std::string vf_token{};  // as in GrantLease
    std::vector<PciAddress> vf_token_for{};
    auto fields() { return std::tie(lease, devices, no_reset_allowed, record, vf_token, vf_token_for); }
};

// Verb 4: for every keeper of an account, and its cgroup; or an end to one child, by pidfd.
struct SetLimit {
    static constexpr MessageType type = MessageType::set_limit;
    std::uint32_t account_uid = 0;
    std::uint64_t memlock = 0;
    std::uint64_t memory_max = 0;
    auto fields() { return std::tie(account_uid, memlock, memory_max); }
};

enum class ChildKind : std::uint8_t { worker = 0, keeper = 1 };
[[nodiscard]] constexpr bool valid_enum(ChildKind kind) {
    return kind <= ChildKind::keeper;
}

struct KillChild {
    static constexpr MessageType type = MessageType::kill_child;
    ChildKind kind = ChildKind::worker;
    std::uint64_t id = 0;  // worker slot or lease
    auto fields() { return std::tie(kind, id); }
};

// Verb 4, of the holder of a direct lease: it is dead `grace_usec` from now and a second more, unless the lease has
// ended by then. The keeper's word may end it sooner; nothing that the holder or its keeper waits for can put it off.
struct CondemnHolder {
    static constexpr MessageType type = MessageType::condemn_holder;
    LeaseId lease = 0;
    std::uint64_t grace_usec = 0;  // at most max_grace_usec
    auto fields() { return std::tie(lease, grace_usec); }
};

// Verb 5: keep a value, and at most one descriptor (a listening socket), for the next monitor. Same name: replaced.
struct Hold {
    static constexpr MessageType type = MessageType::hold;
    std::string name;
    Bytes value;
    auto fields() { return std::tie(name, value); }
};
struct Unhold {
    static constexpr MessageType type = MessageType::unhold;
    std::string name;
    auto fields() { return std::tie(name); }
};

// This undertaker of the monitor's hung up, or does not come back from a close: it is killed, and another one comes
// when that is possible. One that is full lives on, and another one comes beside it.
struct ReplaceUndertaker {
    static constexpr MessageType type = MessageType::replace_undertaker;
    std::uint64_t id = 0;
    bool full = false;
    auto fields() { return std::tie(id, full); }
};

// ---- vault -> monitor. First VaultHello, then a HeldLease for each lease and a HeldThing for each Hold, then
// HoldingsComplete.

struct VaultHello {
    static constexpr MessageType type = MessageType::vault_hello;
    std::uint32_t protocol = 1;
    KernelInterface kernel = KernelInterface::iommufd;
    LeaseId last_lease = 0;                       // no lease had a greater id: the next monitor counts on from here
    std::vector<std::string> dropped_invariants;  // what this vault cannot give (not root, no cgroup), in words
    FreedMemory freed_memory = FreedMemory::exposed;
    auto fields() { return std::tie(protocol, kernel, last_lease, dropped_invariants, freed_memory); }
};

// Descriptors: the monitor's end of the keeper's channel, the keeper's pidfd. None where the lease settles, and where
// the keeper is still to come, with a GrantResult; nobody may write to it before its first frame is there (hazard C25).
struct HeldLease {
    static constexpr MessageType type = MessageType::held_lease;
    LeaseId lease = 0;
    bool successor = false;  // the keeper died; this is the one that cleans up after it
    bool settles = false;    // there is no keeper any more; the lease ends when its holder's limit is taken back
    Bytes record;
    auto fields() { return std::tie(lease, successor, settles, record); }
};

struct HeldThing {  // with the descriptor, when one is held
    static constexpr MessageType type = MessageType::held_thing;
    std::string name;
    Bytes value;
    auto fields() { return std::tie(name, value); }
};

struct HoldingsComplete {
    static constexpr MessageType type = MessageType::holdings_complete;
    auto fields() { return std::tie(); }
};

struct WorkerExited {
    static constexpr MessageType type = MessageType::worker_exited;
    std::uint32_t slot = 0;
    std::string status;  // "exited 0", "killed by SIGSYS"
    auto fields() { return std::tie(slot, status); }
};

// The nodes are open and the keeper is on its way; or nothing was given and nothing is left, also because the request
// is beyond a bound. On success with the monitor's end of the keeper's channel and the keeper's pidfd.
struct GrantResult {
    static constexpr MessageType type = MessageType::grant_result;
    LeaseId lease = 0;
    bool granted = false;
    ErrorCode code = ErrorCode::internal;
    std::string message;
    auto fields() { return std::tie(lease, granted, code, message); }
};
// The vault's child is done, or there was none. Whether the keeper has got the devices is for the keeper to say.
struct ExtendResult {
    static constexpr MessageType type = MessageType::extend_result;
    LeaseId lease = 0;
    bool granted = false;
    ErrorCode code = ErrorCode::internal;
    std::string message;
    auto fields() { return std::tie(lease, granted, code, message); }
};

// Four after VaultHello, and one for each ReplaceUndertaker. Descriptor: the monitor's end of the undertaker's channel.
struct UndertakerComing {
    static constexpr MessageType type = MessageType::undertaker_coming;
    std::uint64_t id = 0;  // never given again
    auto fields() { return std::tie(id); }
};

// A keeper died without having finished, or is given up; its successor unmaps and destroys, and has its KeeperStart
// already. Descriptors as in HeldLease.
struct KeeperDied {
    static constexpr MessageType type = MessageType::keeper_died;
    LeaseId lease = 0;
    std::string status;
    bool revoked = false;  // it did not die: it has ended a revoked lease's DMA, and the vault has killed the holder
    bool left = false;     // it did not die: it has ended DMA, and its client's descriptors may keep it from its exit
    auto fields() { return std::tie(lease, status, revoked, left); }
};

// The kernel has let go of everything; the vault has forgotten the lease.
struct LeaseEnded {
    static constexpr MessageType type = MessageType::lease_ended;
    LeaseId lease = 0;
    auto fields() { return std::tie(lease); }
};

// ---- a child of the vault, before it execs, to the vault; with the inert copy of the context when `ok`
struct ChildReport {
    static constexpr MessageType type = MessageType::child_report;
    bool ok = false;
    ErrorCode code = ErrorCode::internal;
    std::string message;
    auto fields() { return std::tie(ok, code, message); }
};

}  // namespace iommud::ipc
