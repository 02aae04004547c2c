// Each row of docs/REFUSALS.md, "When a device is bound": what a client is told, by call and errno.
#include "daemon/kernel/refusals.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <ostream>

namespace iommud::kernel {
namespace {

using testing::HasSubstr;

struct Row {
    const char* name;
    Call call;
    int error_number;
    ErrorCode code;
    const char* says;
};

std::ostream& operator<<(std::ostream& out, const Row& row) {
    return out << row.name;
}

class KernelRefusal : public testing::TestWithParam<Row> {};

TEST_P(KernelRefusal, IsSaidByItsCause) {
    const Row& row = GetParam();

    const Error error = refusal(row.call, PciAddress{0, 0, 4, 0}, row.error_number);

    EXPECT_EQ(error.code, row.code) << error.message;
    EXPECT_THAT(error.message, HasSubstr("device 0000:00:04.0: the kernel refuses to "));
    EXPECT_THAT(error.message, HasSubstr(row.says));
}

INSTANTIATE_TEST_SUITE_P(
    EveryRow, KernelRefusal,
    testing::Values(
        Row{"BindEINVAL", Call::bind, EINVAL, ErrorCode::device_busy, "a program outside of iommud has it bound"},
        Row{"BindEPERM", Call::bind, EPERM, ErrorCode::device_busy, "has a device of its IOMMU group"},
        Row{"BindEBUSY", Call::bind, EBUSY, ErrorCode::device_busy, "has its group open"},
        Row{"BindEACCES", Call::bind, EACCES, ErrorCode::access_denied, "VF token"},
        Row{"BindEAGAIN", Call::bind, EAGAIN, ErrorCode::device_busy, "try again"},
        Row{"BindENODEV", Call::bind, ENODEV, ErrorCode::no_such_device, "going away"},
        Row{"BindENXIO", Call::bind, ENXIO, ErrorCode::no_such_device, "going away"},
        Row{"BindENOMEM", Call::bind, ENOMEM, ErrorCode::memory_limit, "memory cgroup"},
        Row{"BindENOTTY", Call::bind, ENOTTY, ErrorCode::kernel_unsupported, "CONFIG_VFIO_DEVICE_CDEV"},
        Row{"BindEIO", Call::bind, EIO, ErrorCode::device_refused, "does not wake up"},
        Row{"BindETIMEDOUT", Call::bind, ETIMEDOUT, ErrorCode::device_refused, "does not wake up"},
        Row{"AttachEINVAL", Call::attach, EINVAL, ErrorCode::device_refused, "different IOMMUs"},
        Row{"AttachEADDRINUSE", Call::attach, EADDRINUSE, ErrorCode::device_refused, "unmap it"},
        Row{"AttachENOSPC", Call::attach, ENOSPC, ErrorCode::device_refused, "no domain number left"},
        Row{"AttachEBUSY", Call::attach, EBUSY, ErrorCode::device_busy, "being reset"},
        Row{"AttachENODEV", Call::attach, ENODEV, ErrorCode::no_such_device, "going away"},
        Row{"AttachEOPNOTSUPP", Call::attach, EOPNOTSUPP, ErrorCode::kernel_unsupported, "no page tables"},
        Row{"AttachENOMEM", Call::attach, ENOMEM, ErrorCode::memory_limit, "memory cgroup"},
        Row{"AttachEIO", Call::attach, EIO, ErrorCode::device_refused, "does not wake up"},
        Row{"ContainerEINVAL", Call::set_container, EINVAL, ErrorCode::device_refused, "reserved_regions"},
        Row{"ContainerEPERM", Call::set_container, EPERM, ErrorCode::device_busy, "outside of iommud"},
        Row{"ContainerEBUSY", Call::set_container, EBUSY, ErrorCode::device_busy, "being reset"},
        Row{"ContainerENOSPC", Call::set_container, ENOSPC, ErrorCode::device_refused, "no domain number left"},
        Row{"ContainerENODEV", Call::set_container, ENODEV, ErrorCode::no_such_device, "going away"},
        Row{"ContainerENOMEM", Call::set_container, ENOMEM, ErrorCode::memory_limit, "memory cgroup"},
        Row{"IommuEPERM", Call::set_iommu, EPERM, ErrorCode::device_refused, "interrupt remapping"},
        Row{"IommuENODEV", Call::set_iommu, ENODEV, ErrorCode::kernel_unsupported, "vfio_iommu_type1"},
        Row{"IommuENOSPC", Call::set_iommu, ENOSPC, ErrorCode::device_refused, "no domain number left"},
        Row{"IommuEBUSY", Call::set_iommu, EBUSY, ErrorCode::device_busy, "being reset"},
        Row{"DeviceEINVAL", Call::get_device, EINVAL, ErrorCode::device_refused, "does not wake up"},
        Row{"DeviceEACCES", Call::get_device, EACCES, ErrorCode::access_denied, "VF token"},
        Row{"DeviceEAGAIN", Call::get_device, EAGAIN, ErrorCode::device_busy, "try again"},
        Row{"DeviceENODEV", Call::get_device, ENODEV, ErrorCode::no_such_device, "going away"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(KernelRefusals, OfAnyOtherNumberHasTheKernelsText) {
    const Error error = refusal(Call::attach, PciAddress{0, 0, 4, 0}, EXDEV);

    EXPECT_EQ(error.code, ErrorCode::internal);
    EXPECT_EQ(error.message, "device 0000:00:04.0: the kernel refuses to attach it: Invalid cross-device link");
}

}  // namespace
}  // namespace iommud::kernel
