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

// Whether each device, and its whole IOMMU group, is on a VFIO driver and nobody's. Errors: device_refused (I8),
// group_not_viable, device_busy, draining. Whose a busy device is, is said to those only who may see the lease. Mode
// direct reads the devices again: what is handed out unbound must be known by its node.
[[nodiscard]] Result<void> devices_free(Monitor& monitor, const Connection& connection,
                                        const std::vector<PciAddress>& devices, Mode mode);

// Whether `devices` may go out unbound in mode direct, although nobody can then see at BIND whether their reset works:
// those of which it is known to, and those that `no_reset_allowed` names. Error: access_denied.
[[nodiscard]] Result<void> resets_known(Monitor& monitor, const std::vector<PciAddress>& devices,
                                        const std::vector<PciAddress>& no_reset_allowed);

// Which of `devices` a VF token is for: the only ones that may be given it, and none in mode direct, whose holder binds
// them.
[[nodiscard]] std::vector<PciAddress> vf_token_for(const Monitor& monitor, const std::vector<PciAddress>& devices,
                                                   Mode mode);

}  // namespace iommud::monitor
