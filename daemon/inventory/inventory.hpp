// All PCI devices of the host and their IOMMU groups. Read once at the start, then kept by uevents: asking it never
// touches sysfs. The monitor reads it on every request, so that everything here is a look-up.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/inventory/device.hpp"

namespace iommud {

// What an update has changed; addresses in order.
struct Diff {
    std::vector<PciAddress> added;
    std::vector<PciAddress> changed;
    std::vector<PciAddress> removed;
    bool operator==(const Diff&) const = default;
    [[nodiscard]] bool empty() const { return added.empty() && changed.empty() && removed.empty(); }
};

class Inventory {
  public:
    // Gives a device its name; called when a device is first seen, or has become another one.
    using Namer = std::function<std::string(const Device&)>;

    // `sysfs_root` is "/sys". Fails (kernel_unsupported) when the PCI devices cannot be listed; a device that cannot be
    // read is an entry all the same.
    [[nodiscard]] static Result<Inventory> scan(const std::filesystem::path& sysfs_root, Namer namer = {});

    // Exactly these devices, for ever: updates find nothing new. Of two with the same address the last one counts.
    [[nodiscard]] static Inventory simulated(std::span<const Device> devices);

    // In the order of addresses. Pointers and references to a device are good until it is removed; what they point at
    // changes with updates.
    [[nodiscard]] const std::map<PciAddress, Device>& devices() const { return devices_; }
    [[nodiscard]] const Device* find(PciAddress address) const;
    [[nodiscard]] std::vector<const Device*> group_members(int group) const;

    // Whether the kernel would let VFIO have the group. Errors: no_such_device for a group without devices,
    // group_not_viable with the offender's name. The kernel has the last word, at BIND.
    [[nodiscard]] Result<void> viable(int group) const;

    // Why a device may never be leased (I8); nothing when it may. The host's reason comes before the device's own.
    [[nodiscard]] std::optional<std::string> unsafe_reason(const Device& device) const;
    [[nodiscard]] const std::optional<std::string>& host_unsafe_reason() const { return host_unsafe_; }

    // Reads one device again, after a uevent.
    [[nodiscard]] Diff refresh(PciAddress address);

    // Reads everything again, after uevents were lost. Fails as scan does, and has changed nothing then.
    [[nodiscard]] Result<Diff> rescan();

    // Reads allow_unsafe_interrupts again: it can be written at any time and no uevent says so, so ask before each
    // lease. Two short reads; true when the host's reason has changed.
    [[nodiscard]] bool refresh_host();

  private:
    Inventory() = default;
    [[nodiscard]] Result<std::set<PciAddress>> listed() const;
    void update(PciAddress address, Diff& diff);
    void store(Device device);
    void erase(PciAddress address);
    void leave_group(const Device& device);
    void read_group(int group);

    struct Group {
        std::set<PciAddress> members;     // devices of this inventory
        std::set<PciAddress> listed;      // PCI devices that the kernel names; one may not have been announced yet
        std::vector<std::string> others;  // members that are no PCI devices
        bool unreadable = false;
    };

    std::optional<std::filesystem::path> sysfs_root_;  // absent: simulated
    Namer namer_;
    std::map<PciAddress, Device> devices_;
    std::map<int, Group> groups_;
    std::optional<std::string> host_unsafe_;
};

}  // namespace iommud
