// The objects of an iommufd context, by number. Errors are errno values; ENOENT: there is no such object.
#pragma once

#include "daemon/kernel/ioctl.hpp"
#include "daemon/kernel/iommufd_abi.hpp"

namespace iommud::kernel {

inline int unmap_range(BorrowedFd iommu, std::uint32_t id, std::uint64_t iova, std::uint64_t length) {
    abi::IoasUnmap unmap;
    unmap.ioas_id = id;
    unmap.iova = iova;
    unmap.length = length;
    return control(iommu, abi::ioas_unmap, &unmap);
}

inline int destroy_object(BorrowedFd iommu, std::uint32_t id) {
    abi::Destroy destroy;
    destroy.id = id;
    return control(iommu, abi::destroy, &destroy);
}

}  // namespace iommud::kernel
