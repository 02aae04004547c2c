// The devices that a request names, as policy looks at them, and whether they can be given now.
#pragma once

#include <optional>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/ipc/types.hpp"
#include "policy/evaluate.hpp"

namespace iommud::monitor {

class Connection;
class Monitor;

// Errors: invalid_argument (none, too many, one twice), no_such_device.
[[nodiscard]] Result<policy::Request> device_request(Monitor& monitor, const std::vector<PciAddress>& devices,
                                                     Mode mode, std::optional<std::uint64_t> memory);

// Whether this daemon gives leases of `mode` at all, whatever policy says. Error: unsupported_mode.
[[nodiscard]] Result<void> mode_given(Mode mode);

// Whether each device, and its whole IOMMU group, is on a VFIO driver and nobody's. Errors: kernel_unsupported (I8),
// group_not_viable, device_busy, draining. Whose a busy device is, is said to those only who may see the lease.
[[nodiscard]] Result<void> devices_free(Monitor& monitor, const Connection& connection,
                                        const std::vector<PciAddress>& devices);

}  // namespace iommud::monitor
