// A PCI device as the host's sysfs shows it: a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/pci_address.hpp"

namespace iommud {

struct Device {
    PciAddress address;
    // Absent: could not be read, see `unreadable`. Policy matches a deny then, and no allow.
    std::optional<std::uint16_t> vendor;
    std::optional<std::uint16_t> device;
    std::optional<std::uint16_t> subsystem_vendor;
    std::optional<std::uint16_t> subsystem_device;
    std::optional<std::uint32_t> class_code;  // 24 bits: class, subclass, programming interface
    int iommu_group = -1;                     // -1: none
    std::string driver;                       // empty: none, unless `unreadable` names it
    int numa_node = -1;                       // -1: not known
    std::string path;                         // "00:1c.4/00.0": daemon/base/pci_path.hpp; empty: not known
    std::string slot;       // the firmware's name of the place: of its hot-plug slot, or its label; empty: it has none
    std::string vfio_cdev;  // name below vfio-dev/: "vfio0", "noiommu-vfio0"; empty: no VFIO driver has it, or the
                            // kernel is older than 6.1
    std::uint64_t vfio_node = 0;  // identifies the entry below vfio-dev/: a rebind of the driver makes another; 0: none
    bool cdev_node = false;       // /dev/vfio/devices/<vfio_cdev> exists: the kernel has VFIO_DEVICE_CDEV
    bool noiommu_group = false;   // the group is VFIO's own make-believe one: no IOMMU behind it
    int unassigned_bar = -1;      // the first base address register that has got no address; -1: none
    std::optional<PciAddress> physical_function;  // of which it is a virtual function
    bool bridge_or_port = false;            // a bridge, or on the port driver: harmless in its group, never leased
    std::vector<std::string> capabilities;  // sorted: "reset:flr", "bus_reset", "sriov", "vf", "pcie", "boot_vga"
    std::string name;                       // from the hardware database; may be empty
    std::vector<std::string> faults;        // of a simulated one: "bind EPERM", what the kernel answers to which call
    std::vector<std::string> unreadable;    // names of attributes that are there and could not be read
    bool operator==(const Device&) const = default;

    [[nodiscard]] bool could_read(std::string_view attribute) const;
};

// VFIO has it, so that it can be opened through VFIO, whoever holds it now.
[[nodiscard]] bool on_vfio_driver(const Device& device);

// Does not stand in the way of leasing another device of its IOMMU group: bridge, port, no driver, a VFIO driver or
// pci-stub. False when that could not be found out.
[[nodiscard]] bool leaves_group_viable(const Device& device);

// Why this device may never be leased, as far as the device itself says; nothing when it may.
[[nodiscard]] std::optional<std::string> why_unsafe(const Device& device);

}  // namespace iommud
