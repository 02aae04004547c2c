// A lease's context on kernels without iommufd: a VFIO container of its own, because two leases in one container would
// reach each other's memory (hazard C13). The client gets device descriptors only, so it can map nothing itself.
#include <linux/vfio.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "daemon/base/bytes.hpp"
#include "daemon/kernel/address_arena.hpp"
#include "daemon/kernel/context.hpp"
#include "daemon/kernel/ioctl.hpp"
#include "daemon/kernel/iommufd_abi.hpp"
#include "daemon/kernel/refusals.hpp"
#include "daemon/kernel/vfio_device.hpp"

namespace iommud::kernel {
namespace {

int unmap_everything(BorrowedFd container) {
    vfio_iommu_type1_dma_unmap unmap{};
    unmap.argsz = sizeof unmap;
    unmap.flags = VFIO_DMA_UNMAP_FLAG_ALL;
    return control(container, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

bool same_group(BorrowedFd a, BorrowedFd b) {
    struct stat first {};
    struct stat second {};
    return ::fstat(a.get(), &first) == 0 && ::fstat(b.get(), &second) == 0 && first.st_rdev == second.st_rdev;
}

// The usable iovas in the kernel's answer, whose capabilities are a chain of offsets into it.
void read_ranges(std::span<const std::byte> answer, std::uint32_t offset, Geometry& geometry) {
    for (int links = 0; links < 8 && offset != 0; ++links) {
        vfio_info_cap_header header{};
        vfio_iommu_type1_info_cap_iova_range capability{};
        if (offset > answer.size() || answer.size() - offset < sizeof capability) {
            return;
        }
        std::memcpy(&header, answer.data() + offset, sizeof header);
        if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
            std::memcpy(&capability, answer.data() + offset, sizeof capability);
            const std::span<const std::byte> list = answer.subspan(offset + sizeof capability);
            const std::size_t count = std::min(
                {std::size_t{capability.nr_iovas}, Geometry::most_ranges, list.size() / sizeof(vfio_iova_range)});
            for (std::size_t i = 0; i < count; ++i) {
                vfio_iova_range range{};
                std::memcpy(&range, list.data() + i * sizeof range, sizeof range);
                geometry.ranges[i] = {range.start, range.end};
            }
            geometry.range_count = static_cast<std::uint32_t>(count);
        }
        offset = header.next;
    }
}

class Type1Context final : public DmaContext {
  public:
    explicit Type1Context(UniqueFd container, AddressArena arena)
        : container_(std::move(container)), arena_(std::move(arena)) {}

    [[nodiscard]] Result<void> start();
    Result<Device> add_device(UniqueFd group, const PciAddress& address, const std::optional<Uuid>& vf_token) override;
    int reset_together(BorrowedFd fd) override;
    void remove_devices(std::size_t keep) override;
    Result<Geometry> geometry() const override;
    bool chooses_iova() const override { return false; }
    MapResult map(const MapRequest& request) override;
    int unmap(const Map& map) override;
    int unmap_all(std::span<const Map> maps) override;
    // A device of a container is attached for as long as its group is: there is nothing to detach or destroy, and
    // nothing with which a client could map.
    void detach_devices() override {}
    int destroy() override { return 0; }
    void close_devices() override { remove_devices(0); }
    bool let_go() override;

  private:
    [[nodiscard]] Result<void> take_group(UniqueFd group, const PciAddress& address);
    [[nodiscard]] BorrowedFd known_group(BorrowedFd group) const;

    struct OpenDevice {
        UniqueFd fd;
        BorrowedFd group;
    };
    UniqueFd container_;
    AddressArena arena_;
    std::vector<UniqueFd> groups_;
    std::vector<OpenDevice> devices_;
};

Result<void> Type1Context::start() {
    // iommufd's stand-in for a container counts pinned memory by process: every keeper would have the account's whole
    // limit. It answers requests of iommufd, which a container does not know.
    abi::Option option;
    option.option_id = abi::option_rlimit_mode;
    option.op = abi::option_op_get;
    if (control(container_.borrow(), abi::option, &option) == 0) {
        return fail(ErrorCode::kernel_unsupported,
                    "/dev/vfio/vfio is iommufd's (CONFIG_IOMMUFD_VFIO_CONTAINER), which counts memory by process; the "
                    "kernel needs CONFIG_VFIO_DEVICE_CDEV, or CONFIG_VFIO_CONTAINER");
    }
    if (::ioctl(container_.get(), VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0 ||
        ::ioctl(container_.get(), VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL) <= 0) {
        return fail(ErrorCode::kernel_unsupported, "the kernel has no type1v2 IOMMU that unmaps all at once");
    }
    return {};
}

BorrowedFd Type1Context::known_group(BorrowedFd group) const {
    const auto found = std::find_if(groups_.begin(), groups_.end(),
                                    [group](const UniqueFd& known) { return same_group(known.borrow(), group); });
    return found == groups_.end() ? BorrowedFd() : found->borrow();
}

Result<void> Type1Context::take_group(UniqueFd group, const PciAddress& address) {
    vfio_group_status status{};
    status.argsz = sizeof status;
    if (control(group.borrow(), VFIO_GROUP_GET_STATUS, &status) != 0 || (status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
        return fail(ErrorCode::group_not_viable,
                    "device " + address.text() + ": another device of its IOMMU group is on a host driver");
    }
    int container = container_.get();
    if (const int error = control(group.borrow(), VFIO_GROUP_SET_CONTAINER, &container); error != 0) {
        return tl::unexpected(refusal(Call::set_container, address, error));
    }
    if (groups_.empty()) {
        if (const int error = control(container_.borrow(), VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU); error != 0) {
            return tl::unexpected(refusal(Call::set_iommu, address, error));
        }
    }
    groups_.push_back(std::move(group));
    return {};
}

Result<Device> Type1Context::add_device(UniqueFd group, const PciAddress& address,
                                        const std::optional<Uuid>& vf_token) {
    BorrowedFd known = known_group(group.borrow());
    if (!known.valid()) {
        if (auto taken = take_group(std::move(group), address); !taken) {
            return tl::unexpected(std::move(taken).error());
        }
        known = groups_.back().borrow();
    }
    const std::string name = address.text() + (vf_token ? " vf_token=" + uuid_text(*vf_token) : "");
    UniqueFd device;
    const int error = when_unlocked([&] {
        device = UniqueFd(::ioctl(known.get(), VFIO_GROUP_GET_DEVICE_FD, name.c_str()));
        return device.valid() ? 0 : errno;
    });
    if (error != 0) {
        return tl::unexpected(refusal(Call::get_device, address, error));
    }
    devices_.push_back({std::move(device), known});
    const BorrowedFd fd = devices_.back().fd.borrow();
    return Device{fd, kernel::reset_works(fd)};
}

int Type1Context::reset_together(BorrowedFd fd) {
    std::vector<BorrowedFd> groups;
    groups.reserve(groups_.size());
    for (const UniqueFd& group : groups_) {
        groups.push_back(group.borrow());
    }
    return kernel::reset_together(fd, groups);
}

void Type1Context::remove_devices(std::size_t keep) {
    devices_.resize(std::min(keep, devices_.size()));
    std::erase_if(groups_, [this](const UniqueFd& group) {
        return std::none_of(devices_.begin(), devices_.end(),
                            [&group](const OpenDevice& device) { return device.group.get() == group.get(); });
    });
}

Result<Geometry> Type1Context::geometry() const {
    std::array<std::byte, 4096> answer{};
    vfio_iommu_type1_info info{};
    info.argsz = answer.size();
    std::memcpy(answer.data(), &info, sizeof info);
    if (const int error = control(container_.borrow(), VFIO_IOMMU_GET_INFO, answer.data()); error != 0) {
        return fail(ErrorCode::internal, errno_message("ask for usable iovas", error));
    }
    std::memcpy(&info, answer.data(), sizeof info);
    Geometry geometry;
    geometry.page_sizes = (info.flags & VFIO_IOMMU_INFO_PGSIZES) != 0 ? info.iova_pgsizes : page_size;
    geometry.alignment = geometry.page_sizes & (~geometry.page_sizes + 1);  // the smallest of them
    if ((info.flags & VFIO_IOMMU_INFO_CAPS) != 0) {
        read_ranges(answer, info.cap_offset, geometry);
    }
    return geometry;
}

MapResult Type1Context::map(const MapRequest& request) {
    std::uint32_t place = 0;
    if (!request.iova) {
        return {EINVAL, 0, 0};
    }
    if (const int error = arena_.put(request, place); error != 0) {
        return {error, 0, 0};
    }
    vfio_iommu_type1_dma_map map{};
    map.argsz = sizeof map;
    map.flags = (request.access.read ? unsigned{VFIO_DMA_MAP_FLAG_READ} : 0U) |
                (request.access.write ? unsigned{VFIO_DMA_MAP_FLAG_WRITE} : 0U);
    map.vaddr = arena_.address_of(place);
    map.iova = *request.iova;
    map.size = request.length;
    const int error = control(container_.borrow(), VFIO_IOMMU_MAP_DMA, &map);
    if (error != 0) {
        arena_.retire(place, request.length);
    }
    return {error, *request.iova, place};
}

int Type1Context::unmap(const Map& map) {
    vfio_iommu_type1_dma_unmap unmap{};
    unmap.argsz = sizeof unmap;
    unmap.iova = map.iova;
    unmap.size = map.length();
    const int error = control(container_.borrow(), VFIO_IOMMU_UNMAP_DMA, &unmap);
    if (error == 0) {
        arena_.retire(map.place, map.length());
    }
    return error;
}

int Type1Context::unmap_all(std::span<const Map> maps) {
    const int error = unmap_everything(container_.borrow());
    if (error != 0) {
        return error == EINVAL ? 0 : error;  // no group is in the container, so nothing can be mapped
    }
    for (const Map& map : maps) {
        arena_.retire(map.place, map.length());
    }
    return 0;
}

bool Type1Context::let_go() {
    // A client's device descriptor holds its group, and that the container's IOMMU: when the last is gone, the
    // container has none, and every request for it is EINVAL (vfio_fops_unl_ioctl).
    return unmap_everything(container_.borrow()) == EINVAL;
}

}  // namespace

Result<std::unique_ptr<DmaContext>> make_type1_context(UniqueFd container, AddressArena arena) {
    auto context = std::make_unique<Type1Context>(std::move(container), std::move(arena));
    if (auto started = context->start(); !started) {
        return tl::unexpected(std::move(started).error());
    }
    return context;
}

std::unique_ptr<DmaContext> adopt_type1_context(UniqueFd container) {
    return std::make_unique<Type1Context>(std::move(container), AddressArena());
}

}  // namespace iommud::kernel
