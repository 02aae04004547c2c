// A context without a kernel behind it: to try the daemon out, for tests, and for client developers. Every surface of
// the daemon says that it is simulated.
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "daemon/base/bytes.hpp"
#include "daemon/kernel/context.hpp"

namespace iommud::kernel {
namespace {

// As an IOMMU with 39 bits of address has them, with the hole that x86 keeps for interrupts.
constexpr std::array<IovaRange, 2> usable{{{0x1000, 0xfedfffff}, {0xfef00000, 0x7fffffffff}}};

bool inside(std::uint64_t iova, std::uint64_t length) {
    return std::any_of(usable.begin(), usable.end(), [iova, length](const IovaRange& range) {
        return iova >= range.first && iova <= range.last && length - 1 <= range.last - iova;
    });
}

class SimulatedContext final : public DmaContext {
  public:
    explicit SimulatedContext(UniqueFd given) : given_(std::move(given)) {}

    BorrowedFd given_context() const override { return given_.borrow(); }
    Result<Device> add_device(UniqueFd, const PciAddress& address) override {
        UniqueFd device(::memfd_create(address.text().c_str(), MFD_CLOEXEC));
        if (!device.valid()) {
            return fail(ErrorCode::internal, errno_message("make a simulated device", errno));
        }
        devices_.push_back(std::move(device));
        return Device{devices_.back().borrow(), true};
    }
    void remove_devices(std::size_t keep) override { devices_.resize(std::min(keep, devices_.size())); }
    Result<Geometry> geometry() const override {
        Geometry geometry;
        std::copy(usable.begin(), usable.end(), geometry.ranges.begin());
        geometry.range_count = usable.size();
        geometry.page_sizes = page_size | 2 * MiB | GiB;
        geometry.alignment = page_size;
        return geometry;
    }
    bool chooses_iova() const override { return false; }
    MapResult map(const MapRequest& request) override {
        const bool fits = request.iova && inside(*request.iova, request.length);
        return {fits ? 0 : EINVAL, request.iova.value_or(0), 0};
    }
    int unmap(const Map&) override { return 0; }
    int unmap_all(std::span<const Map>) override { return 0; }
    void detach_devices() override {}
    int destroy() override { return 0; }
    void close_devices() override { devices_.clear(); }
    bool let_go() override { return true; }

  private:
    UniqueFd given_;  // in mode direct only
    std::vector<UniqueFd> devices_;
};

}  // namespace

std::unique_ptr<DmaContext> make_simulated_context() {
    return std::make_unique<SimulatedContext>(UniqueFd());
}

std::unique_ptr<DmaContext> make_simulated_direct_context() {
    return std::make_unique<SimulatedContext>(UniqueFd(::memfd_create("iommu", MFD_CLOEXEC)));
}

}  // namespace iommud::kernel
