// Our ABI header against a kernel's own headers: every size, offset, number and flag.
#include <gtest/gtest.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "daemon/kernel/iommufd_abi.hpp"

namespace iommud::abi {
namespace {

template <class Ours, class Theirs>
void expect_same_size() {
    EXPECT_EQ(sizeof(Ours), sizeof(Theirs));
    EXPECT_EQ(alignof(Ours), alignof(Theirs));
}
// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): offsetof and sizeof of a member take no function
#define EXPECT_SAME_MEMBER(ours, our_member, theirs, their_member)                \
    EXPECT_EQ(offsetof(ours, our_member), offsetof(struct theirs, their_member)); \
    EXPECT_EQ(sizeof(ours::our_member), sizeof(theirs::their_member))

TEST(Abi, RequestNumbersAreTheKernels) {
    EXPECT_EQ(destroy, static_cast<unsigned long>(IOMMU_DESTROY));
    EXPECT_EQ(ioas_alloc, static_cast<unsigned long>(IOMMU_IOAS_ALLOC));
    EXPECT_EQ(ioas_iova_ranges, static_cast<unsigned long>(IOMMU_IOAS_IOVA_RANGES));
    EXPECT_EQ(ioas_map, static_cast<unsigned long>(IOMMU_IOAS_MAP));
    EXPECT_EQ(ioas_unmap, static_cast<unsigned long>(IOMMU_IOAS_UNMAP));
    EXPECT_EQ(option, static_cast<unsigned long>(IOMMU_OPTION));
    EXPECT_EQ(device_bind_iommufd, static_cast<unsigned long>(VFIO_DEVICE_BIND_IOMMUFD));
    EXPECT_EQ(device_attach_iommufd_pt, static_cast<unsigned long>(VFIO_DEVICE_ATTACH_IOMMUFD_PT));
    EXPECT_EQ(device_detach_iommufd_pt, static_cast<unsigned long>(VFIO_DEVICE_DETACH_IOMMUFD_PT));
}

TEST(Abi, FlagsAreTheKernels) {
    EXPECT_EQ(map_fixed_iova, static_cast<std::uint32_t>(IOMMU_IOAS_MAP_FIXED_IOVA));
    EXPECT_EQ(map_writeable, static_cast<std::uint32_t>(IOMMU_IOAS_MAP_WRITEABLE));
    EXPECT_EQ(map_readable, static_cast<std::uint32_t>(IOMMU_IOAS_MAP_READABLE));
    EXPECT_EQ(option_rlimit_mode, static_cast<std::uint32_t>(IOMMU_OPTION_RLIMIT_MODE));
    EXPECT_EQ(option_op_get, static_cast<std::uint16_t>(IOMMU_OPTION_OP_GET));
}

TEST(Abi, ObjectRequestsAreTheKernels) {
    expect_same_size<Destroy, iommu_destroy>();
    EXPECT_SAME_MEMBER(Destroy, id, iommu_destroy, id);
    expect_same_size<IoasAlloc, iommu_ioas_alloc>();
    EXPECT_SAME_MEMBER(IoasAlloc, flags, iommu_ioas_alloc, flags);
    EXPECT_SAME_MEMBER(IoasAlloc, out_ioas_id, iommu_ioas_alloc, out_ioas_id);
    expect_same_size<Option, iommu_option>();
    EXPECT_SAME_MEMBER(Option, option_id, iommu_option, option_id);
    EXPECT_SAME_MEMBER(Option, op, iommu_option, op);
    EXPECT_SAME_MEMBER(Option, object_id, iommu_option, object_id);
    EXPECT_SAME_MEMBER(Option, val64, iommu_option, val64);
}

TEST(Abi, RangesAreTheKernels) {
    expect_same_size<IovaRange, iommu_iova_range>();
    EXPECT_SAME_MEMBER(IovaRange, start, iommu_iova_range, start);
    EXPECT_SAME_MEMBER(IovaRange, last, iommu_iova_range, last);
    expect_same_size<IoasIovaRanges, iommu_ioas_iova_ranges>();
    EXPECT_SAME_MEMBER(IoasIovaRanges, ioas_id, iommu_ioas_iova_ranges, ioas_id);
    EXPECT_SAME_MEMBER(IoasIovaRanges, num_iovas, iommu_ioas_iova_ranges, num_iovas);
    EXPECT_SAME_MEMBER(IoasIovaRanges, allowed_iovas, iommu_ioas_iova_ranges, allowed_iovas);
    EXPECT_SAME_MEMBER(IoasIovaRanges, out_iova_alignment, iommu_ioas_iova_ranges, out_iova_alignment);
}

TEST(Abi, MapsAreTheKernels) {
    expect_same_size<IoasMap, iommu_ioas_map>();
    EXPECT_SAME_MEMBER(IoasMap, flags, iommu_ioas_map, flags);
    EXPECT_SAME_MEMBER(IoasMap, ioas_id, iommu_ioas_map, ioas_id);
    EXPECT_SAME_MEMBER(IoasMap, user_va, iommu_ioas_map, user_va);
    EXPECT_SAME_MEMBER(IoasMap, length, iommu_ioas_map, length);
    EXPECT_SAME_MEMBER(IoasMap, iova, iommu_ioas_map, iova);
    expect_same_size<IoasUnmap, iommu_ioas_unmap>();
    EXPECT_SAME_MEMBER(IoasUnmap, ioas_id, iommu_ioas_unmap, ioas_id);
    EXPECT_SAME_MEMBER(IoasUnmap, iova, iommu_ioas_unmap, iova);
    EXPECT_SAME_MEMBER(IoasUnmap, length, iommu_ioas_unmap, length);
}

TEST(Abi, PageTablesAreTheKernels) {
    EXPECT_EQ(hwpt_alloc, static_cast<unsigned long>(IOMMU_HWPT_ALLOC));
    EXPECT_EQ(sizeof(HwptAlloc), offsetof(iommu_hwpt_alloc, data_type));  // the length that every kernel takes
    EXPECT_SAME_MEMBER(HwptAlloc, flags, iommu_hwpt_alloc, flags);
    EXPECT_SAME_MEMBER(HwptAlloc, dev_id, iommu_hwpt_alloc, dev_id);
    EXPECT_SAME_MEMBER(HwptAlloc, pt_id, iommu_hwpt_alloc, pt_id);
    EXPECT_SAME_MEMBER(HwptAlloc, out_hwpt_id, iommu_hwpt_alloc, out_hwpt_id);
}

#ifdef IOMMU_IOAS_MAP_FILE
TEST(Abi, MapByFileIsTheKernels) {
    EXPECT_EQ(ioas_map_file, static_cast<unsigned long>(IOMMU_IOAS_MAP_FILE));
}
#endif

// Newer kernels have longer structures for these; ours are the beginning of them, which they take too.
TEST(Abi, DeviceRequestsAreTheBeginningOfTheKernels) {
    EXPECT_LE(sizeof(DeviceBind), sizeof(vfio_device_bind_iommufd));
    EXPECT_SAME_MEMBER(DeviceBind, flags, vfio_device_bind_iommufd, flags);
    EXPECT_SAME_MEMBER(DeviceBind, iommufd, vfio_device_bind_iommufd, iommufd);
    EXPECT_SAME_MEMBER(DeviceBind, out_devid, vfio_device_bind_iommufd, out_devid);
#ifdef VFIO_DEVICE_BIND_FLAG_TOKEN
    EXPECT_EQ(bind_flag_token, static_cast<std::uint32_t>(VFIO_DEVICE_BIND_FLAG_TOKEN));
    expect_same_size<DeviceBindToken, vfio_device_bind_iommufd>();
    EXPECT_SAME_MEMBER(DeviceBindToken, token_uuid_ptr, vfio_device_bind_iommufd, token_uuid_ptr);
#endif
    EXPECT_LE(sizeof(DeviceAttach), sizeof(vfio_device_attach_iommufd_pt));
    EXPECT_SAME_MEMBER(DeviceAttach, flags, vfio_device_attach_iommufd_pt, flags);
    EXPECT_SAME_MEMBER(DeviceAttach, pt_id, vfio_device_attach_iommufd_pt, pt_id);
    EXPECT_LE(sizeof(DeviceDetach), sizeof(vfio_device_detach_iommufd_pt));
    EXPECT_SAME_MEMBER(DeviceDetach, flags, vfio_device_detach_iommufd_pt, flags);
}

}  // namespace
}  // namespace iommud::abi
