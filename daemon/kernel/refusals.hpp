// What the kernel's refusal of a device means, said by its cause. The table is docs/REFUSALS.md's: read from the
// kernel's source, 6.12 and 7.3. Not here is what sysfs tells before the kernel is asked (daemon/inventory,
// daemon/monitor/standing).
#pragma once

#include <cstdint>

#include "daemon/base/pci_address.hpp"
#include "daemon/base/result.hpp"

namespace iommud::kernel {

// The calls with which a device becomes a lease's: the first two of iommufd, the others of type1.
enum class Call : std::uint8_t { bind, attach, set_container, set_iommu, get_device };

// The error for a client whose device the kernel did not give.
[[nodiscard]] Error refusal(Call call, const PciAddress& device, int error_number);

}  // namespace iommud::kernel
