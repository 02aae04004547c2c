// The bare ioctls: what a privileged program does to have a device and to map memory for it.
#pragma once

#include <cstdint>
#include <string>

namespace iommud::bench {

struct BareFds {
    int iommu = -1;
    int device = -1;
};

// Opens /dev/iommu and the device's VFIO node.
[[nodiscard]] BareFds open_bare(const std::string& address);

// BIND, IOAS_ALLOC, ATTACH. Returns the IOAS.
std::uint32_t bind_and_attach(const BareFds& fds);

void close_bare(const BareFds& fds);

[[nodiscard]] std::uint64_t map_address(int iommu, std::uint32_t ioas, const void* at, std::uint64_t length);
void unmap(int iommu, std::uint32_t ioas, std::uint64_t iova, std::uint64_t length);

}  // namespace iommud::bench
