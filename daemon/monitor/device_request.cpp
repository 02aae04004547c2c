#include "daemon/monitor/device_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "daemon/base/bounds.hpp"
#include "daemon/ipc/vault_messages.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"
#include "daemon/monitor/standing.hpp"

namespace iommud::monitor {
namespace {

policy::DeviceFacts facts_of(Monitor& monitor, const Device& device) {
    return {.address = device.address,
            .vendor = device.vendor,
            .device = device.device,
            .subsystem_vendor = device.subsystem_vendor,
            .subsystem_device = device.subsystem_device,
            .class_code = device.class_code,
            .iommu_group = device.iommu_group >= 0 ? std::optional(device.iommu_group) : std::nullopt,
            .path = device.path.empty() ? std::nullopt : std::optional(device.path),
            .slot = device.slot.empty() && !device.could_read("label") ? std::nullopt : std::optional(device.slot),
            .driver = device.could_read("driver") ? std::optional(device.driver) : std::nullopt,
            .serial = monitor.policy().current().by_serial ? monitor.inventory().serial_number(device) : std::nullopt};
}

// Busy, or its like: said in full to those only who may see the lease.
tl::unexpected<Error> taken(const Connection& connection, const PciAddress& asked, const PciAddress& held,
                            const Lease& lease) {
    const std::string what =
        asked == held ? asked.text()
                      : fmt::format("{}: {} of its IOMMU group, which is given as a whole,", asked.text(), held.text());
    const std::string by =
        may_see(connection, lease.record) ? fmt::format("lease {}", lease.record.id) : "somebody else's lease";
    if (lease.state == LeaseState::draining) {
        return fail(ErrorCode::draining,
                    fmt::format("{} is still held open by a former holder ({}), though its DMA has ended", what, by));
    }
    return fail(ErrorCode::device_busy, fmt::format("{} is held by {}", what, by));
}

// Whose it was is nobody else's to know.
tl::unexpected<Error> tainted(const PciAddress& asked, const PciAddress& member) {
    const std::string what =
        asked == member ? asked.text() : fmt::format("{}, of the IOMMU group of {},", member.text(), asked.text());
    return fail(
        ErrorCode::draining,
        fmt::format("{} was given unbound to somebody else, who may still have a descriptor of it: its driver is "
                    "bound anew as soon as that is closed; try again",
                    what));
}

Result<void> device_free(Monitor& monitor, const Connection& connection, const Device& device) {
    const Standing standing = standing_of_unheld(monitor.inventory(), device);
    if (standing.state == DeviceState::unsafe) {
        return tl::unexpected(refusal(device, standing));
    }
    if (const Lease* lease = monitor.leases().holder_of(device.address)) {
        return taken(connection, device.address, device.address, *lease);
    }
    const std::vector<const Device*> members = monitor.inventory().group_members(device.iommu_group);
    for (const Device* member : members) {
        if (const Lease* lease = monitor.leases().holder_of(member->address)) {
            return taken(connection, device.address, member->address, *lease);
        }
    }
    for (const Device* member : members) {
        if (!monitor.taints().free_for(member->address, connection.who().uid, connection.endpoint())) {
            monitor.taints().ask_for_rebind(member->address);
            return tainted(device.address, member->address);
        }
    }
    if (standing.state != DeviceState::available) {
        return tl::unexpected(refusal(device, standing));
    }
    return {};
}

}  // namespace

Result<policy::Request> device_request(Monitor& monitor, const std::vector<PciAddress>& devices, Mode mode,
                                       std::optional<std::uint64_t> memory) {
    if (devices.empty() || devices.size() > most_lease_devices) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{} devices asked, a lease has 1 to {}", devices.size(), most_lease_devices));
    }
    policy::Request request;
    request.mode = mode;
    request.memory = memory;
    std::set<PciAddress> asked;
    std::set<int> groups;
    for (const PciAddress& address : devices) {
        if (!asked.insert(address).second) {
            return fail(ErrorCode::invalid_argument, fmt::format("{} is asked for twice", address.text()));
        }
        const Device* device = monitor.inventory().find(address);
        if (device == nullptr) {
            return fail(ErrorCode::no_such_device, fmt::format("no PCI device {} on this host", address.text()));
        }
        request.asked.push_back(facts_of(monitor, *device));
        if (device->iommu_group >= 0 && groups.insert(device->iommu_group).second) {
            for (const Device* member : monitor.inventory().group_members(device->iommu_group)) {
                if (!member->bridge_or_port) {
                    request.group_members.push_back(facts_of(monitor, *member));
                }
            }
        }
    }
    return request;
}

Result<void> devices_free(Monitor& monitor, const Connection& connection, const std::vector<PciAddress>& devices,
                          Mode mode) {
    monitor.refresh_host();
    for (const PciAddress& address : devices) {
        if (mode != Mode::managed) {
            monitor.refresh_device(address);
        }
        const Device* device = monitor.inventory().find(address);
        if (device == nullptr) {
            return fail(ErrorCode::no_such_device, fmt::format("no PCI device {} on this host", address.text()));
        }
        if (Result<void> free = device_free(monitor, connection, *device); !free) {
            return free;
        }
        if (mode != Mode::managed && device->vfio_node == 0 && monitor.kernel() != KernelInterface::simulated) {
            return fail(ErrorCode::kernel_unsupported,
                        fmt::format("{} has no node that is known from others", address.text()));
        }
    }
    return {};
}

std::vector<PciAddress> vf_token_for(const Monitor& monitor, const std::vector<PciAddress>& devices, Mode mode) {
    std::vector<PciAddress> takers;
    for (const PciAddress& address : devices) {
        const Device* device = monitor.inventory().find(address);
        if (mode == Mode::managed && device != nullptr && monitor.inventory().takes_vf_token(*device)) {
            takers.push_back(address);
        }
    }
    return takers;
}

Result<void> resets_known(Monitor& monitor, const std::vector<PciAddress>& devices,
                          const std::vector<PciAddress>& no_reset_allowed) {
    for (const PciAddress& address : devices) {
        const Device* device = monitor.inventory().find(address);
        const auto resets = [](const std::string& capability) { return capability.starts_with("reset"); };
        if (std::find(no_reset_allowed.begin(), no_reset_allowed.end(), address) == no_reset_allowed.end() &&
            (device == nullptr || std::none_of(device->capabilities.begin(), device->capabilities.end(), resets))) {
            return fail(ErrorCode::access_denied,
                        fmt::format("device {} cannot be reset between holders, and no rule has allow_no_reset",
                                    address.text()));
        }
    }
    return {};
}

}  // namespace iommud::monitor
