// All PCI devices of the host and their IOMMU groups. Read once at the start, then kept by uevents: asking it never
// touches sysfs, save for a serial number. The monitor reads it on every request, so that everything else is a look-up.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/inventory/device.hpp"
#include "daemon/inventory/read_device.hpp"

namespace iommud {

// What an update has changed; addresses in order.
struct Diff {
    std::vector<PciAddress> added;
    std::vector<PciAddress> changed;  // themselves, or what another member of their IOMMU group means for them
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
    // `serials` is the folder in which iommud-serial leaves serial numbers: "/run/iommud/serials".
    [[nodiscard]] static Result<Inventory> scan(const std::filesystem::path& sysfs_root, Namer namer = {},
                                                const std::filesystem::path& serials = {});

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

    // Why a device may never be leased (I8); nothing when it may. The host's reason comes before the device's own, and
    // that before its group's.
    [[nodiscard]] std::optional<std::string> unsafe_reason(const Device& device) const;
    [[nodiscard]] const std::optional<std::string>& host_unsafe_reason() const { return host_unsafe_; }

    // Whether VFIO looks for a VF token when the device is bound: at a physical function that it has, and at virtual
    // functions of such a one (vfio_pci_validate_vf_token). To any other device none must be given.
    [[nodiscard]] bool takes_vf_token(const Device& device) const;

    // The serial number; empty when the device has none, nothing when it is not known (yet): it is left for us after
    // the kernel has announced the device. Two short reads. Simulated devices have none.
    [[nodiscard]] std::optional<std::string> serial_number(const Device& device) const;

    // Reads one device again, after a uevent.
    [[nodiscard]] Diff refresh(PciAddress address);

    // Reads everything again, after uevents were lost. Fails as scan does, and has changed nothing then.
    [[nodiscard]] Result<Diff> rescan();

    // Of the two modules that have a parameter allow_unsafe_interrupts only the one counts that devices are lent by:
    // "iommufd" or "vfio_iommu_type1". Until this is called both count.
    void lent_by(std::string_view module);

    // Reads allow_unsafe_interrupts again: it can be written at any time and no uevent says so, so ask before each
    // lease. Two short reads; true when the host's reason has changed.
    [[nodiscard]] bool refresh_host();

  private:
    Inventory() = default;
    [[nodiscard]] Result<std::set<PciAddress>> listed() const;
    void update_group_of(PciAddress address, const Slots& slots, Diff& diff);
    void update(PciAddress address, const Slots& slots, Diff& diff);
    // What keeps the members of a group from being lent, as far as the group says; empty: nothing.
    [[nodiscard]] std::string in_the_way(int group) const;
    void store(Device device);
    void erase(PciAddress address);
    void leave_group(const Device& device);
    void read_group(int group);
    [[nodiscard]] Slots slots() const;

    struct Group {
        std::set<PciAddress> members;     // devices of this inventory
        std::set<PciAddress> listed;      // PCI devices that the kernel names; one may not have been announced yet
        std::vector<std::string> others;  // members that are no PCI devices
        std::string direct_region;        // the first that the firmware wants mapped 1:1, "0x... to 0x..."; empty: none
        bool unreadable = false;
        bool regions_unreadable = false;
    };

    std::optional<std::filesystem::path> sysfs_root_;  // absent: simulated
    std::filesystem::path serials_;
    Namer namer_;
    std::map<PciAddress, Device> devices_;
    std::map<int, Group> groups_;
    std::string lending_module_;  // empty: not known
    std::optional<std::string> host_unsafe_;
    bool interrupts_isolated_ = true;  // as far as can be seen; does not change while the host runs
};

}  // namespace iommud
