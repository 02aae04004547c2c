// To and from a keeper, on its control channel (descriptor 3). The first frame, KeeperStart, was put there by the
// vault's child that opened the nodes; all later ones come from the monitor, or, KeeperAdd, from a child of the vault.
#pragma once

#include "daemon/ipc/worker_messages.hpp"

namespace iommud::ipc {

inline constexpr int keeper_control_fd = 3;   // SEQPACKET
inline constexpr int keeper_lifeline_fd = 4;  // a pipe's read end: hangs up when the vault dies
inline constexpr int keeper_word_fd = 5;      // a pipe's write end: KeeperWords for the vault, which needs no exit then
inline constexpr int keeper_cgroup_fd = 6;    // cgroup.procs of its account, opened by root; not for a successor
// With this argument, and a context in the place of the control channel, a keeper only says by its exit status whether
// the kernel maps memory by file.
inline constexpr const char* keeper_probe_argument = "--has-map-file";
inline constexpr int keeper_probe_yes = 10;
inline constexpr int keeper_probe_no = 11;
inline constexpr int worker_monitor_fd = 3;     // SEQPACKET
inline constexpr int worker_connection_fd = 4;  // the client's; absent for the system bus

enum class KeeperRole : std::uint8_t { keeper = 0, successor = 1 };
[[nodiscard]] constexpr bool valid_enum(KeeperRole role) {
    return role <= KeeperRole::successor;
}

// Descriptors. keeper: the context, the delivery end, then a device for each of `devices` (type1: the container, the
// delivery end, then the group of each of `devices`). successor: the inert copy of the context only. simulated: the
// delivery end only (keeper), none (successor).
struct KeeperStart {
    static constexpr MessageType type = MessageType::keeper_start;
    KeeperRole role = KeeperRole::keeper;
    KernelInterface kernel = KernelInterface::iommufd;
    LeaseId lease = 0;
    Mode mode = Mode::managed;
    std::uint64_t reserve = 0;  // bytes that may be mapped
    std::uint64_t memlock = 0;  // RLIMIT_MEMLOCK to go down to, once the keeper has locked its own memory
    std::uint32_t maps = 0;
    std::vector<PciAddress> devices;
    std::vector<PciAddress> no_reset_allowed;
    std::string vf_token{};  // as in GrantLease
    std::vector<PciAddress> vf_token_for{};
    std::vector<std::string> faults{};
    auto fields() {
        return std::tie(role, kernel, lease, mode, reserve, memlock, maps, devices, no_reset_allowed, vf_token,
                        vf_token_for, faults);
    }
};

// Descriptors: the delivery end, then a device for each of `devices`.
struct KeeperAdd {
    static constexpr MessageType type = MessageType::keeper_add;
    std::vector<PciAddress> devices;
    std::vector<PciAddress> no_reset_allowed;
    std::string vf_token{};  // as in GrantLease
    std::vector<PciAddress> vf_token_for{};
    auto fields() { return std::tie(devices, no_reset_allowed, vf_token, vf_token_for); }
};

// Asked when an addition is over, however it ended: answered by KeeperDevices. Whatever the vault's child put into the
// channel came before it, so that the answer is the truth about it.
struct DevicesRequest {
    static constexpr MessageType type = MessageType::devices_request;
    std::uint64_t number = 0;  // another one each time, so that an answer is known from one to an earlier question
    auto fields() { return std::tie(number); }
};

// How many of the lease's devices the keeper has: the first ones that it was told of, in that order.
struct KeeperDevices {
    static constexpr MessageType type = MessageType::keeper_devices;
    std::uint32_t count = 0;
    std::uint64_t number = 0;  // the question's
    auto fields() { return std::tie(count, number); }
};

struct ReportRequest {
    static constexpr MessageType type = MessageType::report_request;
    auto fields() { return std::tie(); }
};

// What a keeper tells the vault, a byte each, through a pipe: nobody can put a descriptor into one, so that reading and
// closing it never waits. The vault acts on the word, never on the exit, which a client's descriptor can hold up.
enum class KeeperWord : std::uint8_t {
    dma_ended = 'E',  // for good, as far as this process goes: a stop of the vault need not wait for more
    leaving = 'L',    // DMA has ended; what this process still holds may keep its exit for ever: a successor drains
    revoked = 'R',    // the same of a direct lease that was revoked: the vault kills the holder first
};

// Ends the lease: holders are told ReleaseRequested, and after `grace_usec` Revoked; 0: at once.
struct TakeBack {
    static constexpr MessageType type = MessageType::take_back;
    std::uint64_t grace_usec = 0;
    std::string reason;
    bool kill_holder = false;  // a direct lease's, if the lease has not ended by then
    auto fields() { return std::tie(grace_usec, reason, kill_holder); }
};

// Sent when the state changes, on ReportRequest, and once a second at most while `mapped` changes.
struct KeeperReport {
    static constexpr MessageType type = MessageType::keeper_report;
    LeaseState state = LeaseState::granting;
    std::uint64_t mapped = 0;  // bytes that the kernel charges
    std::uint32_t maps = 0;
    auto fields() { return std::tie(state, mapped, maps); }
};

// The grant (or the addition) failed; nothing was delivered. After a failed grant the keeper cleans up and exits 0.
struct KeeperFailed {
    static constexpr MessageType type = MessageType::keeper_failed;
    ErrorCode code = ErrorCode::internal;
    std::string message;
    auto fields() { return std::tie(code, message); }
};

// Keeper -> worker, once, through the delivery pair: descriptors in the order of `names`: "lease", in mode direct
// "iommu", then "device:ADDRESS" for each device asked.
struct Delivery {
    static constexpr MessageType type = MessageType::delivery;
    LeaseId lease = 0;
    std::vector<std::string> names;
    auto fields() { return std::tie(lease, names); }
};

}  // namespace iommud::ipc
