#include "daemon/inventory/inventory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/inventory/read_device.hpp"
#include "daemon/inventory/sysfs_reader.hpp"

namespace iommud {
namespace {

// With one of these a device can raise any interrupt of the host: the kernel's own isolation is switched off (I8).
constexpr std::array<const char*, 2> unsafe_parameters{"module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
                                                       "module/iommufd/parameters/allow_unsafe_interrupts"};

std::optional<std::string> read_host_unsafe(const SysfsReader& sysfs) {
    for (const char* parameter : unsafe_parameters) {
        const Attribute value = sysfs.attribute(parameter);
        switch (value.found) {
            case Found::missing:  // the module is not there
                break;
            case Found::unreadable:
                return fmt::format("/sys/{} cannot be read", parameter);
            case Found::yes:
                if (value.text != "N") {
                    return fmt::format("the host runs with /sys/{} set", parameter);
                }
                break;
        }
    }
    return std::nullopt;
}

// What the name in the hardware database hangs on.
bool same_kind(const Device& one, const Device& other) {
    return one.vendor == other.vendor && one.device == other.device && one.subsystem_vendor == other.subsystem_vendor &&
           one.subsystem_device == other.subsystem_device && one.class_code == other.class_code;
}

}  // namespace

Result<Inventory> Inventory::scan(const std::filesystem::path& sysfs_root, Namer namer) {
    Inventory inventory;
    inventory.sysfs_root_ = sysfs_root;
    inventory.namer_ = std::move(namer);
    if (auto read = inventory.rescan(); !read) {
        return tl::unexpected(std::move(read.error()));
    }
    return inventory;
}

Inventory Inventory::simulated(std::span<const Device> devices) {
    Inventory inventory;
    for (const Device& device : devices) {
        inventory.store(device);
    }
    return inventory;
}

const Device* Inventory::find(PciAddress address) const {
    const auto known = devices_.find(address);
    return known == devices_.end() ? nullptr : &known->second;
}

std::vector<const Device*> Inventory::group_members(int group) const {
    std::vector<const Device*> members;
    if (const auto known = groups_.find(group); known != groups_.end()) {
        for (const PciAddress address : known->second.members) {
            members.push_back(&devices_.at(address));
        }
    }
    return members;
}

Result<void> Inventory::viable(int group) const {
    const auto known = groups_.find(group);
    if (known == groups_.end()) {
        return fail(ErrorCode::no_such_device, fmt::format("no device is in IOMMU group {}", group));
    }
    for (const Device* member : group_members(group)) {
        if (!leaves_group_viable(*member)) {
            return fail(ErrorCode::group_not_viable,
                        member->driver.empty() ? fmt::format("the driver of {} in IOMMU group {} cannot be read",
                                                             member->address.text(), group)
                                               : fmt::format("{} in IOMMU group {} is on the host's driver {}",
                                                             member->address.text(), group, member->driver));
        }
    }
    if (!known->second.others.empty()) {
        return fail(ErrorCode::group_not_viable,
                    fmt::format("{} in IOMMU group {} is not a PCI device", known->second.others.front(), group));
    }
    for (const PciAddress address : known->second.listed) {
        if (!known->second.members.contains(address)) {
            return fail(ErrorCode::group_not_viable,
                        fmt::format("{} has just joined IOMMU group {}", address.text(), group));
        }
    }
    if (known->second.unreadable) {
        return fail(ErrorCode::group_not_viable, fmt::format("the members of IOMMU group {} cannot be read", group));
    }
    return {};
}

std::optional<std::string> Inventory::unsafe_reason(const Device& device) const {
    return host_unsafe_ ? host_unsafe_ : why_unsafe(device);
}

Diff Inventory::refresh(PciAddress address) {
    Diff diff;
    update(address, diff);
    return diff;
}

Result<Diff> Inventory::rescan() {
    auto present = listed();
    if (!present) {
        return tl::unexpected(std::move(present.error()));
    }
    // Those that have gone are updated too.
    for (const auto& [address, device] : devices_) {
        present->insert(address);
    }
    Diff diff;
    for (const PciAddress address : *present) {
        update(address, diff);
    }
    (void)refresh_host();
    return diff;
}

bool Inventory::refresh_host() {
    if (!sysfs_root_) {
        return false;
    }
    auto before = std::exchange(host_unsafe_, read_host_unsafe(SysfsReader(*sysfs_root_)));
    return before != host_unsafe_;
}

Result<std::set<PciAddress>> Inventory::listed() const {
    std::set<PciAddress> present;
    if (!sysfs_root_) {
        return present;
    }
    std::vector<std::string> names;
    if (SysfsReader(*sysfs_root_).list("bus/pci/devices", names) != Found::yes) {
        return fail(ErrorCode::kernel_unsupported,
                    fmt::format("the PCI devices in {}/bus/pci/devices cannot be listed", sysfs_root_->string()));
    }
    for (const std::string& name : names) {
        if (const auto address = PciAddress::parse(name)) {
            present.insert(*address);
        }
    }
    return present;
}

void Inventory::update(PciAddress address, Diff& diff) {
    if (!sysfs_root_) {
        return;
    }
    const Device* before = find(address);
    auto now = read_device(SysfsReader(*sysfs_root_), address);
    if (!now) {
        if (before != nullptr) {
            erase(address);
            diff.removed.push_back(address);
        }
        return;
    }
    if (before != nullptr && same_kind(*before, *now)) {
        now->name = before->name;
    } else if (namer_) {
        now->name = namer_(*now);
    }
    const int group = now->iommu_group;
    if (before == nullptr) {
        diff.added.push_back(address);
        store(std::move(*now));
    } else if (*before != *now) {
        diff.changed.push_back(address);
        store(std::move(*now));
    }
    if (group >= 0) {
        read_group(group);
    }
}

// Assigns to the device that is there already, so that pointers to it stay good.
void Inventory::store(Device device) {
    const PciAddress address = device.address;
    if (const Device* before = find(address); before != nullptr && before->iommu_group != device.iommu_group) {
        leave_group(*before);
    }
    if (device.iommu_group >= 0) {
        groups_[device.iommu_group].members.insert(address);
    }
    devices_.insert_or_assign(address, std::move(device));
}

void Inventory::erase(PciAddress address) {
    const auto known = devices_.find(address);
    leave_group(known->second);
    devices_.erase(known);
}

void Inventory::leave_group(const Device& device) {
    const auto group = groups_.find(device.iommu_group);
    if (group == groups_.end()) {
        return;
    }
    group->second.members.erase(device.address);
    group->second.listed.erase(device.address);
    if (group->second.members.empty()) {
        groups_.erase(group);
    }
}

void Inventory::read_group(int group) {
    Group& known = groups_[group];
    std::vector<std::string> names;
    const Found found = SysfsReader(*sysfs_root_).list(fmt::format("kernel/iommu_groups/{}/devices", group), names);
    known.unreadable = found != Found::yes;
    known.listed.clear();
    known.others.clear();
    for (const std::string& name : names) {
        if (const auto address = PciAddress::parse(name)) {
            known.listed.insert(*address);
        } else {
            known.others.push_back(printable(name));
        }
    }
}

}  // namespace iommud
