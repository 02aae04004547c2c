#include "daemon/kernel/vfio_device.hpp"

#include <linux/vfio.h>

#include "daemon/kernel/ioctl.hpp"

namespace iommud::kernel {
namespace {

ErrorCode code_of(int error_number) {
    switch (error_number) {
        case EBUSY:
        case EINVAL:  // bound by somebody else: a second BIND of a device
        case EAGAIN:  // its lock is held, by a reset or an unbind of its driver
            return ErrorCode::device_busy;
        case EPERM:  // another device of its IOMMU group belongs to another context, or to a host driver
            return ErrorCode::group_not_viable;
        case ENODEV:
        case ENXIO:
            return ErrorCode::no_such_device;
        case EACCES:  // a VF whose physical function wants a token
        case ENOTTY:
            return ErrorCode::kernel_unsupported;
        case ENOMEM:
            return ErrorCode::memory_limit;
        default:
            return ErrorCode::internal;
    }
}

}  // namespace

bool reset_works(BorrowedFd device) {
    vfio_device_info info{};
    info.argsz = sizeof info;
    return control(device, VFIO_DEVICE_GET_INFO, &info) == 0 && (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
}

Error device_error(const PciAddress& address, std::string_view step, int error_number) {
    std::string what = "device " + address.text() + ": the kernel refuses to ";
    what += step;
    return Error{code_of(error_number), errno_message(what, error_number)};
}

}  // namespace iommud::kernel
