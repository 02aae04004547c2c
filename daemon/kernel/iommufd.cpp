// A lease's context on iommufd: one IOAS, to which every device of the lease is attached.
#include <algorithm>
#include <vector>

#include "daemon/base/bounds.hpp"
#include "daemon/kernel/address_arena.hpp"
#include "daemon/kernel/context.hpp"
#include "daemon/kernel/ioctl.hpp"
#include "daemon/kernel/iommufd_abi.hpp"
#include "daemon/kernel/iommufd_objects.hpp"
#include "daemon/kernel/vfio_device.hpp"

namespace iommud::kernel {
namespace {

// A fresh context gives out the lowest free number, from 1: the IOAS first, then the objects of the devices, each with
// a page table or two while a client attaches and detaches it. What lies beyond was never there.
constexpr std::uint32_t ioas = 1;
constexpr auto most_devices = static_cast<std::uint32_t>(most_lease_devices);
constexpr std::uint32_t last_object(std::uint32_t devices) {
    return 16 + 4 * devices;
}

class IommufdContext final : public DmaContext {
  public:
    // `device_objects`: how many there may be already.
    IommufdContext(UniqueFd iommu, std::uint32_t device_objects)
        : iommu_(std::move(iommu)), by_file_(maps_by_file(iommu_.borrow())), device_objects_(device_objects) {
        devices_.reserve(most_devices);
    }

    [[nodiscard]] Result<void> start();
    void set_vf_token(const std::optional<Uuid>& token) override { vf_token_ = token; }
    Result<Device> add_device(UniqueFd device, const PciAddress& address) override;
    void remove_devices(std::size_t keep) override;
    Result<Geometry> geometry() const override;
    bool chooses_iova() const override { return true; }
    MapResult map(const MapRequest& request) override;
    int unmap(const Map& map) override;
    int unmap_all(std::span<const Map> maps) override;
    void detach_devices() override;
    int destroy() override;
    void close_devices() override { devices_.clear(); }
    bool let_go() override;

  private:
    MapResult map_file(const MapRequest& request, std::uint32_t flags);
    MapResult map_address(const MapRequest& request, std::uint32_t flags);
    void detach_from(std::size_t first);
    [[nodiscard]] Result<void> bind(BorrowedFd device, const PciAddress& address);

    UniqueFd iommu_;
    bool by_file_;
    AddressArena arena_;
    std::vector<UniqueFd> devices_;
    std::uint32_t device_objects_;  // at most; some may be gone
    std::optional<Uuid> vf_token_;
};

Result<void> IommufdContext::start() {
    // A context opened as /dev/vfio/vfio counts per process: every keeper would have the account's whole limit.
    abi::Option mode;
    mode.option_id = abi::option_rlimit_mode;
    mode.op = abi::option_op_get;
    if (control(iommu_.borrow(), abi::option, &mode) != 0 || mode.val64 != 0) {
        return fail(ErrorCode::kernel_unsupported, "the IOMMU context does not count pinned memory by user");
    }
    abi::IoasAlloc alloc;
    if (const int error = control(iommu_.borrow(), abi::ioas_alloc, &alloc); error != 0) {
        return fail(ErrorCode::kernel_unsupported, errno_message("allocate an IO address space", error));
    }
    if (alloc.out_ioas_id != ioas) {
        return fail(ErrorCode::internal, "the IOMMU context is not a fresh one");
    }
    if (const int error = by_file_ ? 0 : arena_.reserve(); error != 0) {
        return fail(ErrorCode::internal, errno_message("reserve addresses", error));
    }
    return {};
}

Result<void> IommufdContext::bind(BorrowedFd device, const PciAddress& address) {
    if (!vf_token_) {
        abi::DeviceBind bind;
        bind.iommufd = iommu_.get();
        const int error = control(device, abi::device_bind_iommufd, &bind);
        return error == 0 ? Result<void>() : tl::unexpected(device_error(address, "bind it", error));
    }
    abi::DeviceBindToken bind;
    bind.iommufd = iommu_.get();
    // No token at no address: a kernel that looks for one says so, and binds nothing; an older one knows no flags.
    if (control(device, abi::device_bind_iommufd, &bind) == EINVAL) {
        return fail(ErrorCode::kernel_unsupported,
                    "device " + address.text() + ": this kernel takes no VF token when it binds a device to a context");
    }
    bind.token_uuid_ptr = reinterpret_cast<std::uint64_t>(vf_token_->data());
    const int error = control(device, abi::device_bind_iommufd, &bind);
    if (error == EINVAL) {
        return fail(ErrorCode::kernel_unsupported, "device " + address.text() +
                                                       " takes no VF token: it is no virtual function of one that VFIO "
                                                       "has, and has none itself");
    }
    if (error == EACCES) {
        return fail(ErrorCode::access_denied, "device " + address.text() + ": this is not its VF token");
    }
    return error == 0 ? Result<void>() : tl::unexpected(device_error(address, "bind it", error));
}

Result<Device> IommufdContext::add_device(UniqueFd device, const PciAddress& address) {
    device_objects_ = std::min(device_objects_ + 1, most_devices);
    if (Result<void> bound = bind(device.borrow(), address); !bound) {
        return tl::unexpected(bound.error());
    }
    abi::DeviceAttach attach;
    attach.pt_id = ioas;
    if (const int error = control(device.borrow(), abi::device_attach_iommufd_pt, &attach); error != 0) {
        return tl::unexpected(device_error(address, "attach it", error));
    }
    devices_.push_back(std::move(device));
    const BorrowedFd fd = devices_.back().borrow();
    return Device{fd, kernel::reset_works(fd)};
}

void IommufdContext::detach_from(std::size_t first) {
    for (std::size_t i = first; i < devices_.size(); ++i) {
        // Succeeds for every bound device, attached or not.
        abi::DeviceDetach detach;
        static_cast<void>(control(devices_[i].borrow(), abi::device_detach_iommufd_pt, &detach));
    }
}

void IommufdContext::remove_devices(std::size_t keep) {
    detach_from(keep);
    devices_.resize(std::min(keep, devices_.size()));
}

Result<Geometry> IommufdContext::geometry() const {
    std::array<abi::IovaRange, 256> ranges{};
    abi::IoasIovaRanges query;
    query.ioas_id = ioas;
    query.num_iovas = ranges.size();
    query.allowed_iovas = reinterpret_cast<std::uint64_t>(ranges.data());
    if (const int error = control(iommu_.borrow(), abi::ioas_iova_ranges, &query); error != 0 && error != EMSGSIZE) {
        return fail(ErrorCode::internal, errno_message("ask for usable iovas", error));
    }
    Geometry geometry;
    geometry.alignment = query.out_iova_alignment;
    geometry.page_sizes = query.out_iova_alignment;
    const std::size_t count = std::min<std::size_t>({query.num_iovas, ranges.size(), Geometry::most_ranges});
    for (std::size_t i = 0; i < count; ++i) {
        geometry.ranges[i] = {ranges[i].start, ranges[i].last};
    }
    geometry.range_count = static_cast<std::uint32_t>(count);
    return geometry;
}

MapResult IommufdContext::map(const MapRequest& request) {
    const std::uint32_t flags = (request.access.read ? abi::map_readable : 0) |
                                (request.access.write ? abi::map_writeable : 0) |
                                (request.iova ? abi::map_fixed_iova : 0);
    return by_file_ ? map_file(request, flags) : map_address(request, flags);
}

MapResult IommufdContext::map_file(const MapRequest& request, std::uint32_t flags) {
    abi::IoasMapFile map;
    map.flags = flags;
    map.ioas_id = ioas;
    map.fd = request.memory.get();
    map.start = request.offset;
    map.length = request.length;
    map.iova = request.iova.value_or(0);
    const int error = control(iommu_.borrow(), abi::ioas_map_file, &map);
    return {error, map.iova, 0};
}

MapResult IommufdContext::map_address(const MapRequest& request, std::uint32_t flags) {
    abi::IoasMap map;
    map.flags = flags;
    map.ioas_id = ioas;
    map.length = request.length;
    map.iova = request.iova.value_or(0);
    std::uint32_t place = 0;
    if (const int error = arena_.put(request, place); error != 0) {
        return {error, 0, 0};
    }
    map.user_va = arena_.address_of(place);
    const int error = control(iommu_.borrow(), abi::ioas_map, &map);
    if (error != 0) {
        arena_.retire(place, request.length);
    }
    return {error, map.iova, place};
}

int IommufdContext::unmap(const Map& map) {
    const int error = unmap_range(iommu_.borrow(), ioas, map.iova, map.length());
    if (error == 0) {
        arena_.retire(map.place, map.length());
    }
    return error;
}

int IommufdContext::unmap_all(std::span<const Map> maps) {
    const int error = unmap_range(iommu_.borrow(), ioas, 0, UINT64_MAX);
    if (error != 0) {
        return error == ENOENT ? 0 : error;  // no such IOAS: destroyed, and its maps with it
    }
    for (const Map& map : maps) {
        arena_.retire(map.place, map.length());
    }
    return 0;
}

void IommufdContext::detach_devices() {
    detach_from(0);
}

int IommufdContext::destroy() {
    const int error = destroy_object(iommu_.borrow(), ioas);
    return error == ENOENT ? 0 : error;
}

bool IommufdContext::let_go() {
    bool all_gone = true;
    for (std::uint32_t id = ioas; id <= last_object(device_objects_); ++id) {
        // EBUSY is a device that is still bound, or an IOAS to which a client has attached one.
        int error = destroy_object(iommu_.borrow(), id);
        if (error != 0 && error != ENOENT) {
            static_cast<void>(unmap_range(iommu_.borrow(), id, 0, UINT64_MAX));
            error = destroy_object(iommu_.borrow(), id);
        }
        all_gone = all_gone && (error == 0 || error == ENOENT);
    }
    return all_gone;
}

}  // namespace

bool maps_by_file(BorrowedFd iommu) {
    // A structure of size 0 is EINVAL where the request exists, and ENOTTY where it does not.
    std::uint32_t size = 0;
    return control(iommu, abi::ioas_map_file, &size) == EINVAL;
}

Result<std::unique_ptr<DmaContext>> make_iommufd_context(UniqueFd iommu) {
    auto context = std::make_unique<IommufdContext>(std::move(iommu), 0);
    if (auto started = context->start(); !started) {
        return tl::unexpected(std::move(started).error());
    }
    return context;
}

std::unique_ptr<DmaContext> adopt_iommufd_context(UniqueFd iommu) {
    return std::make_unique<IommufdContext>(std::move(iommu), most_devices);  // nobody says how many
}

}  // namespace iommud::kernel
