#include "daemon/inventory/inventory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/base/serial_number.hpp"
#include "daemon/inventory/read_device.hpp"
#include "daemon/inventory/sysfs_reader.hpp"

namespace iommud {
namespace {

// With such a parameter of theirs a device can raise any interrupt of the host: the kernel's own isolation is switched
// off (I8).
constexpr std::array<std::string_view, 2> lending_modules{"vfio_iommu_type1", "iommufd"};

// On x86 the kernel names the interrupts of PCI devices PCI-MSI, and IR-PCI-MSI where they are remapped, which is what
// isolates a device's from all others (intel_setup_irq_remapping, amd_iommu's). Other architectures have other names.
bool interrupts_isolated(const SysfsReader& sysfs) {
    std::vector<std::string> numbers;
    static_cast<void>(sysfs.list("kernel/irq", numbers));
    bool some = false;
    for (const std::string& number : numbers) {
        const Attribute chip = sysfs.attribute("kernel/irq/" + number + "/chip_name");
        if (chip.text.starts_with("IR-")) {
            return true;
        }
        some = some || chip.text.starts_with("PCI-MSI");
    }
    return !some;
}

// `module`: of the interface in use; empty: not known, so that each counts.
std::optional<std::string> read_host_unsafe(const SysfsReader& sysfs, std::string_view module) {
    for (const std::string_view one : lending_modules) {
        if (!module.empty() && one != module) {
            continue;
        }
        const std::string parameter = fmt::format("module/{}/parameters/allow_unsafe_interrupts", one);
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

constexpr const char* not_isolated =
    "the host's interrupts are not isolated from each other, so that a device could send any; switch interrupt "
    "remapping on in the firmware's settings, and take intremap=off off the kernel's command line";

// "0x00000000000e0000 0x00000000000fffff direct", a line each (iommu_group_show_resv_regions). A region of the type
// "direct-relaxable" does not keep the kernel from lending a device.
std::string first_direct_region(std::string_view lines) {
    while (!lines.empty()) {
        const std::string_view line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(std::min(lines.size(), line.size() + 1));
        const std::size_t last = line.find(' ');
        const std::size_t type = line.rfind(' ');
        if (last < type && line.substr(type + 1) == "direct") {
            return printable(fmt::format("{} to {}", line.substr(0, last), line.substr(last + 1, type - last - 1)));
        }
    }
    return {};
}

// Each address once, and not as changed when it is new.
void tidy(Diff& diff) {
    std::set<PciAddress> changed(diff.changed.begin(), diff.changed.end());
    for (const PciAddress address : diff.added) {
        changed.erase(address);
    }
    diff.changed.assign(changed.begin(), changed.end());
}

// What the name in the hardware database hangs on.
bool same_kind(const Device& one, const Device& other) {
    return one.vendor == other.vendor && one.device == other.device && one.subsystem_vendor == other.subsystem_vendor &&
           one.subsystem_device == other.subsystem_device && one.class_code == other.class_code;
}

}  // namespace

Result<Inventory> Inventory::scan(const std::filesystem::path& sysfs_root, Namer namer,
                                  const std::filesystem::path& serials) {
    Inventory inventory;
    inventory.serials_ = serials;
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
    if (host_unsafe_) {
        return host_unsafe_;
    }
    if (auto own = why_unsafe(device)) {
        return own;
    }
    const auto group = groups_.find(device.iommu_group);
    if (group != groups_.end() && group->second.regions_unreadable) {
        return fmt::format("the reserved regions of IOMMU group {} cannot be read", device.iommu_group);
    }
    if (group != groups_.end() && !group->second.direct_region.empty()) {
        return fmt::format(
            "the firmware wants memory at {} mapped 1:1 for IOMMU group {}, and the kernel lends no device of such a "
            "group; look for \"shared memory\", \"RMRR\" or \"DMA protection\" in the firmware's settings",
            group->second.direct_region, device.iommu_group);
    }
    return std::nullopt;
}

bool Inventory::takes_vf_token(const Device& device) const {
    if (!device.physical_function) {
        return std::find(device.capabilities.begin(), device.capabilities.end(), "sriov") != device.capabilities.end();
    }
    const Device* physical = find(*device.physical_function);
    return physical != nullptr && on_vfio_driver(*physical);
}

// "INODE NUMBER": of the device whose folder in sysfs has that inode, and of none that was there before.
std::optional<std::string> Inventory::serial_number(const Device& device) const {
    if (!sysfs_root_) {
        return "";
    }
    const Attribute left = SysfsReader(serials_).attribute(device.address.text());
    const std::string_view text = left.text;
    const std::size_t space = text.find(' ');
    const std::uint64_t inode =
        SysfsReader(*sysfs_root_).identity(std::filesystem::path("bus/pci/devices") / device.address.text());
    if (space == std::string_view::npos || inode == 0 || text.substr(0, space) != std::to_string(inode)) {
        return std::nullopt;
    }
    const std::string_view number = text.substr(space + 1);
    if (number == no_serial_number) {
        return "";
    }
    return is_serial_number(number) ? std::optional(std::string(number)) : std::nullopt;
}

std::string Inventory::in_the_way(int group) const {
    const auto known = groups_.find(group);
    if (known == groups_.end()) {
        return {};
    }
    const Result<void> good = viable(group);
    return known->second.direct_region + (good ? "" : good.error().message);
}

Diff Inventory::refresh(PciAddress address) {
    Diff diff;
    update_group_of(address, slots(), diff);
    tidy(diff);
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
    const Slots all = slots();
    for (const PciAddress address : *present) {
        update_group_of(address, all, diff);
    }
    tidy(diff);
    interrupts_isolated_ = !sysfs_root_ || interrupts_isolated(SysfsReader(*sysfs_root_));
    (void)refresh_host();
    return diff;
}

void Inventory::lent_by(std::string_view module) {
    lending_module_ = module;
    (void)refresh_host();
}

bool Inventory::refresh_host() {
    if (!sysfs_root_) {
        return false;
    }
    auto now = read_host_unsafe(SysfsReader(*sysfs_root_), lending_module_);
    if (!now && !interrupts_isolated_) {
        now = not_isolated;
    }
    const auto before = std::exchange(host_unsafe_, std::move(now));
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

// The device, and those of its group whose standing that changes.
void Inventory::update_group_of(PciAddress address, const Slots& slots, Diff& diff) {
    const auto group_of = [this](PciAddress which) {
        const Device* device = find(which);
        return device == nullptr ? -1 : device->iommu_group;
    };
    const int before = group_of(address);
    const std::string stood = in_the_way(before);
    update(address, slots, diff);
    const int after = group_of(address);
    if (before != after || in_the_way(before) != stood) {
        for (const int group : {before, after}) {
            for (const Device* member : group_members(group)) {
                diff.changed.push_back(member->address);
            }
        }
    }
}

void Inventory::update(PciAddress address, const Slots& slots, Diff& diff) {
    if (!sysfs_root_) {
        return;
    }
    const Device* before = find(address);
    auto now = read_device(SysfsReader(*sysfs_root_), address, slots);
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

Slots Inventory::slots() const {
    return sysfs_root_ ? read_slots(SysfsReader(*sysfs_root_)) : Slots();
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
    const Attribute regions =
        SysfsReader(*sysfs_root_).attribute(fmt::format("kernel/iommu_groups/{}/reserved_regions", group));
    known.regions_unreadable = regions.found == Found::unreadable;
    known.direct_region = regions.found == Found::yes ? first_direct_region(regions.text) : "";
}

}  // namespace iommud
