// The kernel's iommufd ABI and VFIO's device-cdev ioctls, as far as we use them. Debian 12's headers are older than
// these; the names are our own, so that a newer <linux/iommufd.h> may be included beside them. tests/unit/kernel
// compares every size, offset and number with the headers of the kernels that we test on.
#pragma once

#include <linux/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace iommud::abi {

// All of them are _IO(';', n): neither direction nor size is part of the number (include/uapi/linux/iommufd.h).
inline constexpr unsigned long destroy = _IO(';', 0x80);
inline constexpr unsigned long ioas_alloc = _IO(';', 0x81);
inline constexpr unsigned long ioas_iova_ranges = _IO(';', 0x84);
inline constexpr unsigned long ioas_map = _IO(';', 0x85);
inline constexpr unsigned long ioas_unmap = _IO(';', 0x86);
inline constexpr unsigned long option = _IO(';', 0x87);
inline constexpr unsigned long hwpt_alloc = _IO(';', 0x89);     // since 6.7
inline constexpr unsigned long ioas_map_file = _IO(';', 0x8f);  // since 6.13; asked for, never used (hazard C19)
inline constexpr unsigned long device_bind_iommufd = _IO(';', 118);
inline constexpr unsigned long device_attach_iommufd_pt = _IO(';', 119);
inline constexpr unsigned long device_detach_iommufd_pt = _IO(';', 120);

struct Destroy {
    std::uint32_t size = sizeof(Destroy);
    std::uint32_t id = 0;
};

struct IoasAlloc {
    std::uint32_t size = sizeof(IoasAlloc);
    std::uint32_t flags = 0;
    std::uint32_t out_ioas_id = 0;
};

struct IovaRange {
    std::uint64_t start = 0;
    std::uint64_t last = 0;  // inclusive
};

struct IoasIovaRanges {
    std::uint32_t size = sizeof(IoasIovaRanges);
    std::uint32_t ioas_id = 0;
    std::uint32_t num_iovas = 0;
    std::uint32_t reserved = 0;
    std::uint64_t allowed_iovas = 0;  // address of an array of IovaRange
    std::uint64_t out_iova_alignment = 0;
};

inline constexpr std::uint32_t map_fixed_iova = 1;
inline constexpr std::uint32_t map_writeable = 2;
inline constexpr std::uint32_t map_readable = 4;

struct IoasMap {
    std::uint32_t size = sizeof(IoasMap);
    std::uint32_t flags = 0;
    std::uint32_t ioas_id = 0;
    std::uint32_t reserved = 0;
    std::uint64_t user_va = 0;
    std::uint64_t length = 0;
    std::uint64_t iova = 0;
};

// A page table of one's own for a device. Newer kernels have a longer one; they take this length too.
struct HwptAlloc {
    std::uint32_t size = sizeof(HwptAlloc);
    std::uint32_t flags = 0;
    std::uint32_t dev_id = 0;
    std::uint32_t pt_id = 0;  // the IOAS that fills it
    std::uint32_t out_hwpt_id = 0;
    std::uint32_t reserved = 0;
};

struct IoasUnmap {
    std::uint32_t size = sizeof(IoasUnmap);
    std::uint32_t ioas_id = 0;
    std::uint64_t iova = 0;
    std::uint64_t length = 0;
};

inline constexpr std::uint32_t option_rlimit_mode = 0;
inline constexpr std::uint16_t option_op_get = 1;

struct Option {
    std::uint32_t size = sizeof(Option);
    std::uint32_t option_id = 0;
    std::uint16_t op = 0;
    std::uint16_t reserved = 0;
    std::uint32_t object_id = 0;
    std::uint64_t val64 = 0;
};

// Newer kernels have a longer one, with a VF token; they take this length too.
struct DeviceBind {
    std::uint32_t argsz = sizeof(DeviceBind);
    std::uint32_t flags = 0;
    std::int32_t iommufd = -1;
    std::uint32_t out_devid = 0;
};

inline constexpr std::uint32_t bind_flag_token = 1;

// The longer one. Older kernels take it when no flag is set.
struct DeviceBindToken {
    std::uint32_t argsz = sizeof(DeviceBindToken);
    std::uint32_t flags = bind_flag_token;
    std::int32_t iommufd = -1;
    std::uint32_t out_devid = 0;
    std::uint64_t token_uuid_ptr = 0;  // address of 16 bytes
};

// Newer kernels have longer ones, with a PASID; they take these lengths too.
struct DeviceAttach {
    std::uint32_t argsz = sizeof(DeviceAttach);
    std::uint32_t flags = 0;
    std::uint32_t pt_id = 0;  // in: IOAS; out: the page table
};
struct DeviceDetach {
    std::uint32_t argsz = sizeof(DeviceDetach);
    std::uint32_t flags = 0;
};

static_assert(sizeof(Destroy) == 8 && offsetof(Destroy, id) == 4);
static_assert(sizeof(IoasAlloc) == 12 && offsetof(IoasAlloc, out_ioas_id) == 8);
static_assert(sizeof(IovaRange) == 16 && offsetof(IovaRange, last) == 8);
static_assert(sizeof(IoasIovaRanges) == 32 && offsetof(IoasIovaRanges, num_iovas) == 8 &&
              offsetof(IoasIovaRanges, allowed_iovas) == 16 && offsetof(IoasIovaRanges, out_iova_alignment) == 24);
static_assert(sizeof(IoasMap) == 40 && offsetof(IoasMap, ioas_id) == 8 && offsetof(IoasMap, user_va) == 16 &&
              offsetof(IoasMap, length) == 24 && offsetof(IoasMap, iova) == 32);
static_assert(sizeof(HwptAlloc) == 24 && offsetof(HwptAlloc, dev_id) == 8 && offsetof(HwptAlloc, pt_id) == 12 &&
              offsetof(HwptAlloc, out_hwpt_id) == 16);
static_assert(sizeof(IoasUnmap) == 24 && offsetof(IoasUnmap, iova) == 8 && offsetof(IoasUnmap, length) == 16);
static_assert(sizeof(Option) == 24 && offsetof(Option, op) == 8 && offsetof(Option, object_id) == 12 &&
              offsetof(Option, val64) == 16);
static_assert(sizeof(DeviceBind) == 16 && offsetof(DeviceBind, iommufd) == 8 && offsetof(DeviceBind, out_devid) == 12);
static_assert(sizeof(DeviceBindToken) == 24 && offsetof(DeviceBindToken, iommufd) == 8 &&
              offsetof(DeviceBindToken, token_uuid_ptr) == 16);
static_assert(sizeof(DeviceAttach) == 12 && offsetof(DeviceAttach, pt_id) == 8);
static_assert(sizeof(DeviceDetach) == 8);

}  // namespace iommud::abi
