// Who asks, for what: what the kernel says of a process and of devices, as of the moment it was asked.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/pci_address.hpp"
#include "daemon/ipc/types.hpp"

namespace iommud::policy {

// What a container was registered with by its engine. Who makes a container chooses its annotations, and the uid and
// the groups of its processes (C26): an allow looks at the payer instead of those.
struct Container {
    std::string id;
    std::uint32_t payer = 0;                         // the container's root: it pays, whoever in there asks
    std::map<std::string, std::string> annotations;  // they narrow, and no more
};

struct Subject {
    std::uint32_t uid = 0xffffffff;     // an unset subject is nobody
    std::vector<std::uint32_t> groups;  // SO_PEERGROUPS and the effective gid, which those lack
    // The outermost service or scope. Empty text: surely in none. Nothing: not known, so that a deny for any unit
    // matches and an allow for none does.
    std::optional<std::string> unit;
    bool has_pidfd = false;  // the kernel gave one; without it no unit, no `direct`, no `legacy` (DESIGN I3)
    std::optional<Container> container = std::nullopt;  // nothing: came through the host's own socket
    // Whether `container` says all there is to it. On the system bus it does not: a deny for any endpoint matches.
    bool container_known = true;
};

// Nothing for an attribute that could not be read: a deny that asks for it matches, an allow does not.
struct DeviceFacts {
    PciAddress address;
    std::optional<std::uint16_t> vendor;
    std::optional<std::uint16_t> device;
    std::optional<std::uint16_t> subsystem_vendor;
    std::optional<std::uint16_t> subsystem_device;
    std::optional<std::uint32_t> class_code;  // 24 bits
    std::optional<int> iommu_group;
    std::optional<std::string> path;    // "00:1c.4/00.0": where it is plugged in, whatever numbers buses have
    std::optional<std::string> slot;    // the firmware's name of the place; empty: it has none
    std::optional<std::string> driver;  // empty: none
    std::optional<std::string> serial;  // "52-54-00-ff-ff-12-34-56"; empty: it has none
    bool operator==(const DeviceFacts&) const = default;
};

struct Request {
    std::vector<DeviceFacts> asked;
    // Every member of the IOMMU groups of the devices asked for; bridges and port drivers left out by the caller.
    std::vector<DeviceFacts> group_members;
    Mode mode = Mode::managed;
    std::optional<std::uint64_t> memory;  // bytes
};

}  // namespace iommud::policy
