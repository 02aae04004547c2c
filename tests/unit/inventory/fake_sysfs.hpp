// A directory that looks like /sys to the inventory, gone with its owner.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "daemon/base/pci_address.hpp"

namespace iommud {

class FakeSysfs {
  public:
    FakeSysfs() {
        std::string pattern = (std::filesystem::temp_directory_path() / "iommud-sysfs-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::runtime_error("no directory for a fake sysfs");
        }
        root_ = pattern;
        std::filesystem::create_directories(root_ / "bus/pci/devices");
    }
    ~FakeSysfs() {
        std::error_code ignored;
        std::filesystem::remove_all(root_, ignored);
    }
    FakeSysfs(const FakeSysfs&) = delete;
    FakeSysfs& operator=(const FakeSysfs&) = delete;

    [[nodiscard]] const std::filesystem::path& root() const { return root_; }

    void write(const std::filesystem::path& relative, std::string_view text) const {
        std::filesystem::create_directories((root_ / relative).parent_path());
        std::ofstream(root_ / relative) << text;
    }

    // An edu device without a driver, in `group` unless that is -1; as in sysfs, bus/pci/devices has a link to it.
    void add_device(std::string_view address, int group) const {
        const std::filesystem::path directory = std::filesystem::path("devices/pci0000:00") / address;
        std::filesystem::create_directories(root_ / directory);
        std::filesystem::create_directory_symlink(std::filesystem::path("../../..") / directory,
                                                  root_ / "bus/pci/devices" / address);
        set(address, "vendor", "0x1234\n");
        set(address, "device", "0x11e8\n");
        set(address, "subsystem_vendor", "0x1af4\n");
        set(address, "subsystem_device", "0x1100\n");
        set(address, "class", "0x00ff00\n");
        set(address, "numa_node", "-1\n");
        if (group >= 0) {
            join_group(address, group);
        }
    }
    void remove_device(std::string_view address) const {
        leave_groups(address);
        std::filesystem::remove(root_ / "bus/pci/devices" / address);
        std::filesystem::remove_all(root_ / "devices/pci0000:00" / address);
    }

    void set(std::string_view address, std::string_view attribute, std::string_view text) const {
        write(std::filesystem::path("devices/pci0000:00") / address / attribute, text);
    }
    void unset(std::string_view address, std::string_view attribute) const {
        std::filesystem::remove_all(root_ / "devices/pci0000:00" / address / attribute);
    }

    void join_group(std::string_view address, int group) const {
        leave_groups(address);
        const std::filesystem::path directory = root_ / "kernel/iommu_groups" / std::to_string(group);
        std::filesystem::create_directories(directory / "devices");
        std::filesystem::create_directory_symlink("x", directory / "devices" / address);
        link(address, "iommu_group", directory);
    }
    void leave_groups(std::string_view address) const {
        for (int group = 0; group < 16; ++group) {
            std::filesystem::remove(root_ / "kernel/iommu_groups" / std::to_string(group) / "devices" / address);
        }
    }

    void bind(std::string_view address, std::string_view driver) const {
        const std::filesystem::path directory = root_ / "bus/pci/drivers" / driver;
        std::filesystem::create_directories(directory);
        link(address, "driver", directory);
    }
    // As the kernel does when vfio-pci binds: a directory below vfio-dev with the node's number.
    void bind_vfio(std::string_view address, std::string_view cdev) const {
        bind(address, "vfio-pci");
        set(address, "vfio-dev/" + std::string(cdev) + "/dev", "251:0\n");
    }
    void unbind(std::string_view address) const {
        unset(address, "driver");
        unset(address, "vfio-dev");
    }

    void link(std::string_view address, std::string_view name, const std::filesystem::path& target) const {
        unset(address, name);
        std::filesystem::create_directory_symlink(target, root_ / "devices/pci0000:00" / address / name);
    }

  private:
    std::filesystem::path root_;
};

inline PciAddress at(std::string_view text) {
    return PciAddress::parse(text).value();
}

}  // namespace iommud
