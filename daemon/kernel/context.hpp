// The seam to the kernel: the DMA context of one lease. Its three sides are iommufd, type1 and simulated. Nothing on
// the way of a Map or an Unmap touches memory that was not locked before, so that a keeper in a full cgroup still
// answers (hazard C14).
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/bytes.hpp"
#include "daemon/base/pci_address.hpp"
#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/base/uuid.hpp"

namespace iommud::kernel {

// What the device may do with mapped memory.
struct Access {
    bool read = false;
    bool write = false;
};

struct IovaRange {
    std::uint64_t first = 0;  // bytes
    std::uint64_t last = 0;   // inclusive
    auto operator<=>(const IovaRange&) const = default;
};

// Where maps may lie. Changes only when devices are added.
struct Geometry {
    static constexpr std::size_t most_ranges = 16;
    std::array<IovaRange, most_ranges> ranges{};  // ascending
    std::uint32_t range_count = 0;
    std::uint64_t page_sizes = 0;  // bit n: pages of 2^n bytes
    std::uint64_t alignment = 0;   // bytes
    [[nodiscard]] std::span<const IovaRange> usable() const { return std::span(ranges).first(range_count); }
};

struct MapRequest {
    BorrowedFd memory;              // a memfd, or a file of tmpfs or hugetlbfs
    std::uint64_t offset = 0;       // bytes, whole pages of the memory
    std::uint64_t length = 0;       // likewise, not 0
    std::uint64_t memory_page = 0;  // the memory's page size: larger than a page for hugetlb
    std::optional<std::uint64_t> iova;
    Access access;
};

struct MapResult {
    // An errno; the rest is set when it is 0. EACCES, EPERM: the memory's descriptor or seals do not allow the access
    // asked; EFAULT: a page of the range cannot be had.
    int error = 0;
    std::uint64_t iova = 0;
    std::uint32_t place = 0;  // where the memory lies in this process (AddressArena); 0 when it does not
};

// Small, because a keeper has as many at hand as its lease may have maps.
struct Map {
    std::uint64_t iova = 0;
    std::uint32_t pages = 0;
    std::uint32_t place = 0;
    [[nodiscard]] std::uint64_t length() const { return std::uint64_t{pages} * page_size; }
};
inline const std::uint64_t longest_map = std::uint64_t{UINT32_MAX} * page_size;  // 16 TiB less a page of 4 KiB

struct Device {
    BorrowedFd fd;  // owned by the context
    bool reset_works = false;
};

// Descriptors given to a context are its own. No call waits for a client; adding and closing devices waits for their
// reset (10 ms to a minute). Errors on the way of maps are errno values, 0 for success.
class DmaContext {
  public:
    DmaContext() = default;
    DmaContext(const DmaContext&) = delete;
    DmaContext& operator=(const DmaContext&) = delete;
    virtual ~DmaContext() = default;

    // Binds and attaches `device` (type1: a device of the group behind that descriptor), with a VF token where it takes
    // one. Where it fails, the device is as it was, and closed.
    [[nodiscard]] virtual Result<Device> add_device(UniqueFd device, const PciAddress& address,
                                                    const std::optional<Uuid>& vf_token) = 0;
    // Resets a device of this context's, `fd`, with all that is on its bus or in its slot. An errno: ENODEV where there
    // is no such reset, EINVAL where not all of that is this context's, or on a VFIO driver.
    [[nodiscard]] virtual int reset_together(BorrowedFd) { return ENODEV; }
    // Detaches and closes the devices after the first `keep`, which nobody else has got yet.
    virtual void remove_devices(std::size_t keep) = 0;
    [[nodiscard]] virtual Result<Geometry> geometry() const = 0;

    // False: every MapRequest must have an iova.
    [[nodiscard]] virtual bool chooses_iova() const = 0;
    [[nodiscard]] virtual MapResult map(const MapRequest& request) = 0;
    [[nodiscard]] virtual int unmap(const Map& map) = 0;
    // Ends all DMA. `maps`: what is mapped, as far as this process knows.
    [[nodiscard]] virtual int unmap_all(std::span<const Map> maps) = 0;

    // What the lease's holder gets beside its devices: the context itself in mode direct, where it does the rest.
    [[nodiscard]] virtual BorrowedFd given_context() const { return {}; }

    // The way out, in this order. EBUSY from destroy(): a client attached again in between; detach and try once more.
    virtual void detach_devices() = 0;
    [[nodiscard]] virtual int destroy() = 0;
    virtual void close_devices() = 0;
    // True when nobody holds a device of this context any more. Unmaps and destroys again what it can.
    [[nodiscard]] virtual bool let_go() = 0;
};

class AddressArena;

// A fresh context on a newly opened /dev/iommu. `arena`: with addresses, for as many maps as the lease may have.
[[nodiscard]] Result<std::unique_ptr<DmaContext>> make_iommufd_context(UniqueFd iommu, AddressArena arena);
// The context that a dead keeper left behind, for taking it back.
[[nodiscard]] std::unique_ptr<DmaContext> adopt_iommufd_context(UniqueFd iommu);
// The context of a direct lease, fresh or left behind: devices are handed out unbound, and the holder makes address
// spaces and maps as it likes. What can be taken back is unmapped and destroyed by number.
[[nodiscard]] std::unique_ptr<DmaContext> make_direct_context(UniqueFd iommu);
// By use, not by version: whether the kernel maps memory by descriptor (since 6.13).
[[nodiscard]] bool maps_by_file(BorrowedFd iommu);

// A fresh context on a newly opened /dev/vfio/vfio of a kernel without iommufd, or one left behind.
[[nodiscard]] Result<std::unique_ptr<DmaContext>> make_type1_context(UniqueFd container, AddressArena arena);
[[nodiscard]] std::unique_ptr<DmaContext> adopt_type1_context(UniqueFd container);

// No kernel and no device: devices are memfds, maps are only checked and counted. `faults`: what is answered instead, a
// device's address, the call and the errno's name in each: "0000:00:04.0 bind EPERM". A text that is none is no fault.
[[nodiscard]] std::unique_ptr<DmaContext> make_simulated_context(std::vector<std::string> faults);
// With a memfd for a context, for leases of mode direct.
[[nodiscard]] std::unique_ptr<DmaContext> make_simulated_direct_context();

}  // namespace iommud::kernel
