#include "daemon/inventory/device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace iommud {
namespace {

// Drivers that register with VFIO, for kernels before 6.1, which have no vfio-dev directory that would say so.
constexpr std::array<std::string_view, 7> vfio_drivers{"vfio-pci",       "mlx5_vfio_pci", "hisi_acc_vfio_pci",
                                                       "pds_vfio_pci",   "qat_vfio_pci",  "nvgrace_gpu_vfio_pci",
                                                       "virtio_vfio_pci"};

}  // namespace

bool Device::could_read(std::string_view attribute) const {
    return std::find(unreadable.begin(), unreadable.end(), attribute) == unreadable.end();
}

bool on_vfio_driver(const Device& device) {
    return !device.vfio_cdev.empty() ||
           std::find(vfio_drivers.begin(), vfio_drivers.end(), device.driver) != vfio_drivers.end();
}

bool leaves_group_viable(const Device& device) {
    return device.bridge_or_port || on_vfio_driver(device) || device.driver == "pci-stub" ||
           (device.driver.empty() && device.could_read("driver"));
}

std::optional<std::string> why_unsafe(const Device& device) {
    const std::string address = device.address.text();
    if (device.bridge_or_port) {
        return address + " is a bridge or a port";
    }
    if (device.noiommu_group || device.vfio_cdev.starts_with("noiommu-")) {
        return address + " has no IOMMU: VFIO offers it in noiommu mode only";
    }
    if (!device.could_read("iommu_group") || !device.could_read("iommu_group/name") || !device.could_read("vfio-dev")) {
        return "the IOMMU group of " + address + " cannot be read";
    }
    if (device.iommu_group < 0) {
        return address + " has no IOMMU group";
    }
    if (device.unassigned_bar >= 0) {
        return fmt::format(
            "BAR {} of {} has no address, so that the kernel cannot enable it; look for \"above 4G "
            "decoding\" in the firmware's settings, or boot with pci=realloc",
            device.unassigned_bar, address);
    }
    return std::nullopt;
}

}  // namespace iommud
