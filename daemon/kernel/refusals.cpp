#include "daemon/kernel/refusals.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace iommud::kernel {
namespace {

struct Row {
    Call call;
    int error_number;
    ErrorCode code;
    const char* cause;
};

// The same of each call.
constexpr const char* going = "it, or its driver, is going away";
constexpr const char* cgroup_full = "the account's memory cgroup has no room for what the kernel needs";
constexpr const char* locked = "it is being reset, or its driver is being changed; try again";
constexpr const char* group_in_reset = "a device of its IOMMU group is being reset; try again";
constexpr const char* wants_token =
    "its physical function is on a VFIO driver, and this is not its VF token: the one that its last holder set, or one "
    "that nobody knows";
constexpr const char* asleep =
    "it does not wake up: power/runtime_status of it in sysfs says so; take its slot's power away and give it back";
constexpr const char* not_isolated =
    "the host's interrupts are not isolated from each other: switch interrupt remapping on in the firmware's settings, "
    "and take intremap=off off the kernel's command line";
constexpr const char* no_domain =
    "its IOMMU has no domain number left; others have to let go of theirs (domains_used in /sys/class/iommu)";
constexpr const char* maps_in_the_way =
    "memory of the lease is mapped at iovas that this device cannot have; unmap it, or acquire the device before";

constexpr std::array<Row, 33> table{{
    {Call::bind, EINVAL, ErrorCode::device_busy,
     "a program outside of iommud has it bound; or, where none has, it could not be woken up once "
     "(power/runtime_status of it in sysfs says error)"},
    {Call::bind, EPERM, ErrorCode::device_busy,
     "a program outside of iommud has a device of its IOMMU group; or, where none has, the platform does not isolate "
     "its interrupts"},
    {Call::bind, EBUSY, ErrorCode::device_busy,
     "a program outside of iommud has its group open through /dev/vfio, or a device of the group is being reset"},
    {Call::bind, EACCES, ErrorCode::access_denied, wants_token},
    {Call::bind, EAGAIN, ErrorCode::device_busy, locked},
    {Call::bind, ENODEV, ErrorCode::no_such_device, going},
    {Call::bind, ENXIO, ErrorCode::no_such_device, going},
    {Call::bind, ENOMEM, ErrorCode::memory_limit, cgroup_full},
    {Call::bind, ENOTTY, ErrorCode::kernel_unsupported, "the kernel lacks CONFIG_VFIO_DEVICE_CDEV"},
    {Call::bind, EIO, ErrorCode::device_refused, asleep},
    {Call::bind, ETIMEDOUT, ErrorCode::device_refused, asleep},

    {Call::attach, EINVAL, ErrorCode::device_refused,
     "its IOMMU takes no page table of this lease, nor one of its own: the devices of its group sit behind different "
     "IOMMUs, or the client has attached one of them elsewhere"},
    {Call::attach, EADDRINUSE, ErrorCode::device_refused, maps_in_the_way},
    {Call::attach, ENOSPC, ErrorCode::device_refused, no_domain},
    {Call::attach, EBUSY, ErrorCode::device_busy, group_in_reset},
    {Call::attach, ENODEV, ErrorCode::no_such_device, going},
    {Call::attach, EOPNOTSUPP, ErrorCode::kernel_unsupported, "its IOMMU's driver has no page tables for user space"},
    {Call::attach, ENOMEM, ErrorCode::memory_limit, cgroup_full},
    {Call::attach, EIO, ErrorCode::device_refused, asleep},

    {Call::set_container, EINVAL, ErrorCode::device_refused,
     "the firmware wants memory mapped 1:1 for its group (reserved_regions), or its IOMMU does not go with the IOMMUs "
     "of the lease's other devices, or with what is mapped"},
    {Call::set_container, EPERM, ErrorCode::device_busy,
     "a program outside of iommud, or a host driver, has a device of its IOMMU group"},
    {Call::set_container, EBUSY, ErrorCode::device_busy, group_in_reset},
    {Call::set_container, ENOSPC, ErrorCode::device_refused, no_domain},
    {Call::set_container, ENODEV, ErrorCode::no_such_device, going},
    {Call::set_container, ENOMEM, ErrorCode::memory_limit, cgroup_full},

    {Call::set_iommu, EPERM, ErrorCode::device_refused, not_isolated},
    {Call::set_iommu, ENODEV, ErrorCode::kernel_unsupported, "the module vfio_iommu_type1 is not loaded"},
    {Call::set_iommu, ENOSPC, ErrorCode::device_refused, no_domain},
    {Call::set_iommu, EBUSY, ErrorCode::device_busy, group_in_reset},

    {Call::get_device, EINVAL, ErrorCode::device_refused, asleep},
    {Call::get_device, EACCES, ErrorCode::access_denied, wants_token},
    {Call::get_device, EAGAIN, ErrorCode::device_busy, locked},
    {Call::get_device, ENODEV, ErrorCode::no_such_device, going},
}};

const char* name_of(Call call) {
    switch (call) {
        case Call::bind:
            return "bind it";
        case Call::attach:
            return "attach it";
        case Call::set_container:
            return "put its group into a container";
        case Call::set_iommu:
            return "give its container an IOMMU";
        case Call::get_device:
            return "open it";
    }
    return "give it";
}

}  // namespace

Error refusal(Call call, const PciAddress& device, int error_number) {
    const std::string what = "device " + device.text() + ": the kernel refuses to " + name_of(call);
    const auto row = std::find_if(table.begin(), table.end(), [call, error_number](const Row& known) {
        return known.call == call && known.error_number == error_number;
    });
    if (row == table.end()) {
        return {ErrorCode::internal, errno_message(what, error_number)};
    }
    const char* const number = ::strerrorname_np(error_number);
    return {row->code, what + " (" + (number == nullptr ? "?" : number) + "): " + row->cause};
}

}  // namespace iommud::kernel
