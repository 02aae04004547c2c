// Values that several of our processes speak of.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/base/error.hpp"
#include "daemon/base/pci_address.hpp"
#include "daemon/ipc/codec.hpp"

namespace iommud {

using LeaseId = std::uint64_t;  // counts up from 1; never used again while the vault lives

[[nodiscard]] constexpr bool valid_enum(ErrorCode code) {
    return static_cast<std::uint32_t>(code) < error_code_count;
}

// DESIGN §3. The names on D-Bus and in policy are the enumerators'.
enum class Mode : std::uint8_t { managed = 0, direct = 1, legacy = 2 };
[[nodiscard]] constexpr bool valid_enum(Mode mode) {
    return mode <= Mode::legacy;
}

enum class KernelInterface : std::uint8_t { iommufd = 0, type1 = 1, simulated = 2 };
[[nodiscard]] constexpr bool valid_enum(KernelInterface kernel) {
    return kernel <= KernelInterface::simulated;
}
[[nodiscard]] constexpr const char* name_of(KernelInterface kernel) {
    switch (kernel) {
        case KernelInterface::iommufd:
            return "iommufd";
        case KernelInterface::type1:
            return "type1";
        case KernelInterface::simulated:
            return "simulated";
    }
    return "invalid";
}
[[nodiscard]] constexpr const char* name_of(Mode mode) {
    switch (mode) {
        case Mode::managed:
            return "managed";
        case Mode::direct:
            return "direct";
        case Mode::legacy:
            return "legacy";
    }
    return "invalid";
}

// What a connection may do, fixed when it is accepted, by the socket it came through.
enum class ConnectionKind : std::uint8_t {
    client = 0,      // /run/iommud/bus
    admin = 1,       // /run/iommud/admin/bus, peer uid 0 of the initial user namespace
    system_bus = 2,  // org.iommud1 on the system bus: everybody, as far as policy's "bus_acquire" goes
};
[[nodiscard]] constexpr bool valid_enum(ConnectionKind kind) {
    return kind <= ConnectionKind::system_bus;
}

enum class DeviceState : std::uint8_t {
    unbound = 0,    // on no driver: the administrator's to bind
    available = 1,  // on a VFIO driver, nobody's
    leased = 2,
    draining = 3,  // released, but a former holder keeps a descriptor: the kernel has not let go
    unsafe = 4,    // may never be leased
    host = 5,      // on a driver of the host's: the administrator's to bind
    blocked = 6,   // on a VFIO driver, but another member of its IOMMU group stands in the way
};
[[nodiscard]] constexpr bool valid_enum(DeviceState state) {
    return state <= DeviceState::blocked;
}
[[nodiscard]] constexpr const char* name_of(DeviceState state) {
    switch (state) {
        case DeviceState::unbound:
            return "unbound";
        case DeviceState::available:
            return "available";
        case DeviceState::leased:
            return "leased";
        case DeviceState::draining:
            return "draining";
        case DeviceState::unsafe:
            return "unsafe";
        case DeviceState::host:
            return "host";
        case DeviceState::blocked:
            return "blocked";
    }
    return "invalid";
}

enum class LeaseState : std::uint8_t {
    granting = 0,   // charged; the keeper binds and attaches
    active = 1,     // given to the client
    releasing = 2,  // the keeper unmaps, detaches, destroys, closes
    draining = 3,   // DMA has ended for good; a holder keeps a device descriptor; still charged
};
[[nodiscard]] constexpr bool valid_enum(LeaseState state) {
    return state <= LeaseState::draining;
}
[[nodiscard]] constexpr const char* name_of(LeaseState state) {
    switch (state) {
        case LeaseState::granting:
            return "granting";
        case LeaseState::active:
            return "active";
        case LeaseState::releasing:
            return "releasing";
        case LeaseState::draining:
            return "draining";
    }
    return "invalid";
}

// Where leases were given that came over the system bus. No container's key has a space.
inline constexpr const char* bus_endpoint = "system bus";
// Among the manager's features when policy says "bus_acquire".
inline constexpr const char* bus_feature = "bus_acquire";

// What the monitor must know of a lease after a restart; the vault keeps its bytes and does not read them.
struct LeaseRecord {
    LeaseId id = 0;
    std::uint32_t account_uid = 0;  // pays
    // The group whose account it is by, when it is by a group's: a process may be in one that /etc/group does not say.
    std::vector<std::uint32_t> account_groups;
    std::uint32_t holder_uid = 0;  // may see and end it, through the same endpoint
    std::uint32_t holder_pid = 0;  // for people to read; never acted upon
    std::string endpoint;          // empty: the host's sockets; `bus_endpoint`: the system bus
    Mode mode = Mode::managed;
    std::string label;
    std::string rule;                // id of the allow rule that covered it
    std::uint64_t memory = 0;        // bytes reserved
    std::uint64_t created_usec = 0;  // CLOCK_REALTIME
    std::vector<PciAddress> devices;
    auto fields() {
        return std::tie(id, account_uid, account_groups, holder_uid, holder_pid, endpoint, mode, label, rule, memory,
                        created_usec, devices);
    }
};

}  // namespace iommud
