// Opens the nodes of devices, in a child of the vault only: that may block, and closing them again resets devices.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/pci_address.hpp"
#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/ipc/types.hpp"

namespace iommud::vault {

// /dev/iommu, or under type1 /dev/vfio/vfio.
[[nodiscard]] Result<UniqueFd> open_context(KernelInterface kernel);

// What it means that `node` cannot be opened; `when_absent` is what it means when there is none.
[[nodiscard]] Error open_error(const std::string& node, int error_number, ErrorCode when_absent);

// Where sysfs, the nodes and /proc are; elsewhere in tests.
struct Folders {
    std::string sys = "/sys";
    std::string dev = "/dev";
    std::string proc = "/proc";
};

// The interface that this kernel has; nothing when it has none. iommufd counts only where VFIO makes device nodes for
// it (CONFIG_VFIO_DEVICE_CDEV), which a kernel with iommufd need not do: such a one is served by type1.
[[nodiscard]] std::optional<KernelInterface> probe_kernel(const Folders& folders = {});

// For each of `devices` its node, or under type1 its group's (a copy where two devices are of one group). Every node is
// checked against the device number that sysfs gives, before and after. None is opened for a device without an IOMMU,
// nor any while the kernel lets devices raise any interrupt (I8), whatever the monitor has found.
[[nodiscard]] Result<std::vector<UniqueFd>> open_devices(KernelInterface kernel, std::span<const PciAddress> devices,
                                                         const Folders& folders = {});

}  // namespace iommud::vault
