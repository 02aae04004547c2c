#include "tests/bench/bare_device.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <filesystem>

#include "daemon/kernel/iommufd_abi.hpp"
#include "tests/bench/must.hpp"

namespace iommud::bench {

BareFds open_bare(const std::string& address) {
    BareFds fds;
    fds.iommu = ::open("/dev/iommu", O_RDWR | O_CLOEXEC);
    must(fds.iommu >= 0, "open /dev/iommu");
    for (const auto& entry : std::filesystem::directory_iterator("/sys/bus/pci/devices/" + address + "/vfio-dev")) {
        fds.device = ::open(("/dev/vfio/devices" / entry.path().filename()).c_str(), O_RDWR | O_CLOEXEC);
    }
    must(fds.device >= 0, "open the device's VFIO node");
    return fds;
}

std::uint32_t bind_and_attach(const BareFds& fds) {
    abi::DeviceBind bind;
    bind.iommufd = fds.iommu;
    must(::ioctl(fds.device, abi::device_bind_iommufd, &bind) == 0, "bind");
    abi::IoasAlloc alloc;
    must(::ioctl(fds.iommu, abi::ioas_alloc, &alloc) == 0, "allocate an IOAS");
    abi::DeviceAttach attach;
    attach.pt_id = alloc.out_ioas_id;
    must(::ioctl(fds.device, abi::device_attach_iommufd_pt, &attach) == 0, "attach");
    return alloc.out_ioas_id;
}

void close_bare(const BareFds& fds) {
    ::close(fds.device);
    ::close(fds.iommu);
}

std::uint64_t map_address(int iommu, std::uint32_t ioas, const void* at, std::uint64_t length) {
    abi::IoasMap map;
    map.flags = abi::map_readable | abi::map_writeable;
    map.ioas_id = ioas;
    map.user_va = reinterpret_cast<std::uint64_t>(at);
    map.length = length;
    must(::ioctl(iommu, abi::ioas_map, &map) == 0, "map an address");
    return map.iova;
}

void unmap(int iommu, std::uint32_t ioas, std::uint64_t iova, std::uint64_t length) {
    abi::IoasUnmap request;
    request.ioas_id = ioas;
    request.iova = iova;
    request.length = length;
    must(::ioctl(iommu, abi::ioas_unmap, &request) == 0, "unmap");
}

}  // namespace iommud::bench
