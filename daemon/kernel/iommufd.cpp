// A lease's context on iommufd: one IOAS, and a page table of the context's own that it fills, to which the devices are
// attached. Two walls stand against what a client does with its device (hazards C1, C19), and each is enough alone:
// memory is mapped by address, so that every page that is pinned was cleared by a fault; and it stays pinned as long as
// the page table is there, so that a client's detach and attach pins nothing anew.
#include <algorithm>
#include <vector>

#include "daemon/base/bounds.hpp"
#include "daemon/base/bytes.hpp"
#include "daemon/kernel/address_arena.hpp"
#include "daemon/kernel/context.hpp"
#include "daemon/kernel/ioctl.hpp"
#include "daemon/kernel/iommufd_abi.hpp"
#include "daemon/kernel/iommufd_objects.hpp"
#include "daemon/kernel/refusals.hpp"
#include "daemon/kernel/vfio_device.hpp"

namespace iommud::kernel {
namespace {

// A fresh context gives out the lowest free number, from 1: the IOAS first, then the objects of the devices, each with
// at most one page table of ours, and one or two more while a client attaches and detaches it. What lies beyond was
// never there.
constexpr std::uint32_t ioas = 1;
constexpr auto most_devices = static_cast<std::uint32_t>(most_lease_devices);
constexpr std::uint32_t last_object(std::uint32_t devices) {
    return 16 + 5 * devices;
}

class IommufdContext final : public DmaContext {
  public:
    // `device_objects`: how many there may be already, left behind by somebody else.
    IommufdContext(UniqueFd iommu, AddressArena arena, std::uint32_t device_objects)
        : iommu_(std::move(iommu)), arena_(std::move(arena)), device_objects_(device_objects) {
        devices_.reserve(most_devices);
        page_tables_.reserve(most_devices);
    }

    [[nodiscard]] Result<void> start();
    Result<Device> add_device(UniqueFd device, const PciAddress& address, const std::optional<Uuid>& vf_token) override;
    int reset_together(BorrowedFd fd) override { return kernel::reset_together(fd, {}); }
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
    struct PageTable {
        std::uint32_t id;
        std::size_t device;  // for which it was made, counted in devices_
    };

    void detach_from(std::size_t first);
    [[nodiscard]] Result<std::uint32_t> bind(BorrowedFd device, const PciAddress& address,
                                             const std::optional<Uuid>& vf_token);
    [[nodiscard]] int attach(BorrowedFd device, std::uint32_t device_object);
    [[nodiscard]] int attach_to_own_table(BorrowedFd device, std::uint32_t device_object);

    UniqueFd iommu_;
    AddressArena arena_;
    std::vector<UniqueFd> devices_;
    std::vector<PageTable> page_tables_;  // ours
    std::uint32_t device_objects_;        // at most; some may be gone
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
    return {};
}

// The number of its object in the context.
Result<std::uint32_t> IommufdContext::bind(BorrowedFd device, const PciAddress& address,
                                           const std::optional<Uuid>& vf_token) {
    if (!vf_token) {
        abi::DeviceBind bind;
        bind.iommufd = iommu_.get();
        const int error = when_unlocked([&] { return control(device, abi::device_bind_iommufd, &bind); });
        return error == 0 ? Result<std::uint32_t>(bind.out_devid) : tl::unexpected(refusal(Call::bind, address, error));
    }
    abi::DeviceBindToken bind;
    bind.iommufd = iommu_.get();
    // No token at no address: a kernel that looks for one says so, and binds nothing; an older one knows no flags. Nor
    // does it look for the token of a device that wants one (6.12): whoever asks for that is refused, and not deceived.
    if (control(device, abi::device_bind_iommufd, &bind) == EINVAL) {
        return fail(ErrorCode::kernel_unsupported,
                    "device " + address.text() + ": this kernel takes no VF token when it binds a device to a context");
    }
    bind.token_uuid_ptr = reinterpret_cast<std::uint64_t>(vf_token->data());
    const int error = when_unlocked([&] { return control(device, abi::device_bind_iommufd, &bind); });
    return error == 0 ? Result<std::uint32_t>(bind.out_devid) : tl::unexpected(refusal(Call::bind, address, error));
}

int attach_to(BorrowedFd device, std::uint32_t page_table) {
    abi::DeviceAttach attach;
    attach.pt_id = page_table;
    return control(device, abi::device_attach_iommufd_pt, &attach);
}

// To a page table that is there, where it fits the device; else to a new one.
int IommufdContext::attach(BorrowedFd device, std::uint32_t device_object) {
    for (const PageTable& table : page_tables_) {
        // EINVAL: another IOMMU, or one that does it differently (iommufd_hw_pagetable_attach).
        if (const int error = attach_to(device, table.id); error != EINVAL) {
            return error;
        }
    }
    return attach_to_own_table(device, device_object);
}

int IommufdContext::attach_to_own_table(BorrowedFd device, std::uint32_t device_object) {
    abi::HwptAlloc alloc;
    alloc.dev_id = device_object;
    alloc.pt_id = ioas;
    switch (const int error = control(iommu_.borrow(), abi::hwpt_alloc, &alloc); error) {
        case 0:
            break;
        case ENOTTY:      // a kernel before 6.7
        case EOPNOTSUPP:  // an IOMMU driver that makes page tables at attach only
        case EINVAL:
        case ENOENT:  // a device without an IOMMU of its own (a mediated one): its bind is no device object
            return attach_to(device, ioas);
        default:
            return error;
    }
    // A driver that knows what a page table can hold at attach only (arm-smmu, and virtio-iommu on 6.12) leaves the
    // address space no room at all: with the address space itself the kernel attaches first.
    if (const auto room = geometry(); room && room->range_count == 1 && room->ranges[0].last < page_size) {
        static_cast<void>(destroy_object(iommu_.borrow(), alloc.out_hwpt_id));
        return attach_to(device, ioas);
    }
    if (const int error = attach_to(device, alloc.out_hwpt_id); error != 0) {
        static_cast<void>(destroy_object(iommu_.borrow(), alloc.out_hwpt_id));
        return error;
    }
    page_tables_.push_back({alloc.out_hwpt_id, devices_.size()});
    return 0;
}

Result<Device> IommufdContext::add_device(UniqueFd device, const PciAddress& address,
                                          const std::optional<Uuid>& vf_token) {
    device_objects_ = std::min(device_objects_ + 1, most_devices);
    const Result<std::uint32_t> bound = bind(device.borrow(), address, vf_token);
    if (!bound) {
        return tl::unexpected(bound.error());
    }
    if (const int error = attach(device.borrow(), *bound); error != 0) {
        return tl::unexpected(refusal(Call::attach, address, error));
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
    std::erase_if(page_tables_, [this, keep](const PageTable& table) {
        return table.device >= keep && destroy_object(iommu_.borrow(), table.id) == 0;
    });
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
    abi::IoasMap map;
    map.flags = (request.access.read ? abi::map_readable : 0) | (request.access.write ? abi::map_writeable : 0) |
                (request.iova ? abi::map_fixed_iova : 0);
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
    // Of a context that was left behind nobody knows which they are. A device's object is not destroyed by this while
    // it is bound.
    if (page_tables_.empty()) {
        for (std::uint32_t id = ioas + 1; id <= last_object(device_objects_); ++id) {
            static_cast<void>(destroy_object(iommu_.borrow(), id));
        }
    }
    std::erase_if(page_tables_, [this](const PageTable& table) {
        const int error = destroy_object(iommu_.borrow(), table.id);
        return error == 0 || error == ENOENT;
    });
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
    return control(iommu, abi::ioas_map_file, &size) != ENOTTY;
}

Result<std::unique_ptr<DmaContext>> make_iommufd_context(UniqueFd iommu, AddressArena arena) {
    auto context = std::make_unique<IommufdContext>(std::move(iommu), std::move(arena), 0);
    if (auto started = context->start(); !started) {
        return tl::unexpected(std::move(started).error());
    }
    return context;
}

std::unique_ptr<DmaContext> adopt_iommufd_context(UniqueFd iommu) {
    return std::make_unique<IommufdContext>(std::move(iommu), AddressArena(), most_devices);  // nobody says how many
}

}  // namespace iommud::kernel
