#include "daemon/inventory/read_device.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "daemon/base/pci_path.hpp"

namespace iommud {
namespace {

using std::filesystem::path;

// Fills one Device; remembers what could not be read.
class Reading {
  public:
    Reading(const SysfsReader& sysfs, path directory, Device& device)
        : sysfs_(sysfs), directory_(std::move(directory)), device_(device) {}

    void identity() {
        device_.vendor = id("vendor");
        device_.device = id("device");
        device_.subsystem_vendor = id("subsystem_vendor");
        device_.subsystem_device = id("subsystem_device");
        if (const auto code = hex("class"); code && *code <= 0xffffff) {
            device_.class_code = code;
        } else {
            unreadable("class");
        }
        if (const auto node = text("numa_node")) {
            device_.numa_node = std::max(-1, parse_decimal_attribute(*node).value_or(-1));
        }
    }

    // Where it is plugged in. A slot is that of the device, or of the nearest bridge above it.
    void place(const Slots& slots) {
        const Attribute link = sysfs_.link_target(directory_);
        device_.path = pci_path_of(link.text).value_or("");
        // Where there are many virtual functions some are on the next bus, with the numbers that others have on theirs.
        const Attribute physical = sysfs_.link_name(directory_ / "physfn");
        const auto of = PciAddress::parse(physical.text);
        if (physical.found != Found::missing && (!of || of->bus != device_.address.bus)) {
            device_.path.clear();
        }
        const path folders(link.text);
        for (const path& part : folders) {
            const std::string name = part.string();
            if (const auto slot = slots.find(name.substr(0, name.rfind('.'))); slot != slots.end()) {
                device_.slot = slot->second;
            }
        }
        if (device_.slot.empty()) {
            device_.slot = printable(text("label").value_or(""));
        }
    }

    void driver() {
        const Attribute link = sysfs_.link_name(directory_ / "driver");
        if (link.found == Found::yes) {
            device_.driver = printable(link.text);
        }
        note("driver", link.found);
        // The kernel voids the class of a device that says PCI-to-PCI bridge and has no bridge's header
        // (pci_setup_device), so that this class is not a device's to claim. The configuration space would say the
        // same, but reading it may wait for a sleeping device.
        device_.bridge_or_port =
            (device_.class_code && *device_.class_code >> 8 == 0x0604) || device_.driver == "pcieport";
    }

    void group() {
        const Attribute link = sysfs_.link_name(directory_ / "iommu_group");
        if (link.found == Found::missing) {
            return;
        }
        const auto number = link.found == Found::yes ? parse_decimal_attribute(link.text) : std::nullopt;
        if (!number || *number < 0) {
            unreadable("iommu_group");
            return;
        }
        device_.iommu_group = *number;
        // Only VFIO gives its make-believe groups this name; a group of an IOMMU seldom has one.
        if (const auto name = text("iommu_group/name")) {
            device_.noiommu_group = *name == "vfio-noiommu";
        }
    }

    void vfio() {
        std::vector<std::string> names;
        const Found found = sysfs_.list(directory_ / "vfio-dev", names);
        note("vfio-dev", found);
        if (found != Found::yes || names.empty()) {
            return;
        }
        device_.vfio_cdev = printable(names.front());
        device_.vfio_node = sysfs_.identity(directory_ / "vfio-dev" / names.front());
        device_.cdev_node = sysfs_.exists(directory_ / "vfio-dev" / names.front() / "dev") == Found::yes;
    }

    // A line for each resource: start, end and flags (resource_show). The kernel does not enable a device one of whose
    // first six, its base address registers, is unset (pci_enable_resources).
    void resources() {
        constexpr int bars = 6;
        constexpr std::uint64_t unset = 0x20000000;  // IORESOURCE_UNSET
        const auto lines = text("resource");
        std::string_view rest = lines ? std::string_view(*lines) : std::string_view();
        for (int bar = 0; bar < bars && !rest.empty() && device_.unassigned_bar < 0; ++bar) {
            const std::string_view line = rest.substr(0, rest.find('\n'));
            rest.remove_prefix(std::min(rest.size(), line.size() + 1));
            std::uint64_t flags = 0;
            const std::size_t at = line.rfind(" 0x");
            if (at != std::string_view::npos) {
                std::from_chars(line.data() + at + 3, line.data() + line.size(), flags, 16);
            }
            device_.unassigned_bar = (flags & unset) != 0 ? bar : -1;
        }
    }

    void capabilities() {
        auto& all = device_.capabilities;
        resets();
        if (const auto vfs = text("sriov_totalvfs"); vfs && parse_decimal_attribute(*vfs).value_or(0) > 0) {
            all.emplace_back("sriov");
        }
        if (const auto vga = text("boot_vga"); vga && *vga == "1") {
            all.emplace_back("boot_vga");
        }
        if (const Attribute link = sysfs_.link_name(directory_ / "physfn"); link.found == Found::yes) {
            device_.physical_function = PciAddress::parse(link.text);
            all.emplace_back("vf");
        }
        if (there("max_link_speed")) {  // the PCI Express attributes exist; reading them would ask the device
            all.emplace_back("pcie");
        }
        std::sort(all.begin(), all.end());
    }

  private:
    // By itself, or by the bridge above it, which resets all of its bus. Kernels before 5.15 do not name the methods.
    void resets() {
        const auto methods = text("reset_method");
        std::string_view rest = methods ? std::string_view(*methods) : std::string_view();
        bool own = !methods && there("reset");
        if (own) {
            device_.capabilities.emplace_back("reset");
        }
        while (!rest.empty()) {
            const std::string_view method = rest.substr(0, rest.find(' '));
            rest.remove_prefix(std::min(rest.size(), method.size() + 1));
            if (!method.empty()) {
                device_.capabilities.push_back("reset:" + printable(method));
                own = true;
            }
        }
        if (!own && device_.path.find('/') != std::string::npos) {
            device_.capabilities.emplace_back("bus_reset");
        }
    }
    void unreadable(const char* attribute) {
        if (device_.could_read(attribute)) {
            device_.unreadable.emplace_back(attribute);
        }
    }
    void note(const char* attribute, Found found) {
        if (found == Found::unreadable) {
            unreadable(attribute);
        }
    }
    std::optional<std::string> text(const char* attribute) {
        Attribute read = sysfs_.attribute(directory_ / attribute);
        note(attribute, read.found);
        return read.found == Found::yes ? std::optional(std::move(read.text)) : std::nullopt;
    }
    std::optional<std::uint32_t> hex(const char* attribute) {
        const auto read = text(attribute);
        return read ? parse_hex_attribute(*read) : std::nullopt;
    }
    // Every PCI device has these: one that is not there cannot be read.
    std::optional<std::uint16_t> id(const char* attribute) {
        const auto number = hex(attribute);
        if (!number || *number > 0xffff) {
            unreadable(attribute);
            return std::nullopt;
        }
        return static_cast<std::uint16_t>(*number);
    }
    bool there(const char* attribute) { return sysfs_.exists(directory_ / attribute) == Found::yes; }

    const SysfsReader& sysfs_;
    path directory_;
    Device& device_;
};

}  // namespace

Slots read_slots(const SysfsReader& sysfs) {
    Slots slots;
    std::vector<std::string> names;
    static_cast<void>(sysfs.list("bus/pci/slots", names));
    for (const std::string& name : names) {
        if (const Attribute at = sysfs.attribute(path("bus/pci/slots") / name / "address"); at.found == Found::yes) {
            slots.emplace(at.text, printable(name));
        }
    }
    return slots;
}

std::optional<Device> read_device(const SysfsReader& sysfs, PciAddress address, const Slots& slots) {
    const path directory = path("bus/pci/devices") / address.text();
    if (sysfs.exists(directory) == Found::missing) {
        return std::nullopt;
    }
    Device device;
    device.address = address;
    Reading reading(sysfs, directory, device);
    reading.identity();
    reading.place(slots);
    reading.driver();
    reading.group();
    reading.vfio();
    reading.resources();
    reading.capabilities();
    return device;
}

std::optional<std::uint32_t> parse_hex_attribute(std::string_view text) {
    if (!text.starts_with("0x") || text.size() < 3 || text.size() > 10) {
        return std::nullopt;
    }
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), number, 16);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

std::optional<int> parse_decimal_attribute(std::string_view text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

std::string printable(std::string_view text) {
    std::string clean(text.substr(0, 255));
    std::replace_if(
        clean.begin(), clean.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return clean;
}

}  // namespace iommud
