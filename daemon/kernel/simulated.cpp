// A context without a kernel behind it: to try the daemon out, for tests, and for client developers. Every surface of
// the daemon says that it is simulated.
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "daemon/base/bytes.hpp"
#include "daemon/kernel/context.hpp"
#include "daemon/kernel/refusals.hpp"

namespace iommud::kernel {
namespace {

// As an IOMMU with 39 bits of address has them, with the hole that x86 keeps for interrupts.
constexpr std::array<IovaRange, 2> usable{{{0x1000, 0xfedfffff}, {0xfef00000, 0x7fffffffff}}};

bool inside(std::uint64_t iova, std::uint64_t length) {
    return std::any_of(usable.begin(), usable.end(), [iova, length](const IovaRange& range) {
        return iova >= range.first && iova <= range.last && length - 1 <= range.last - iova;
    });
}

const char* word_of(Call call) {
    switch (call) {
        case Call::bind:
            return "bind";
        case Call::attach:
            return "attach";
        case Call::set_container:
            return "set-container";
        case Call::set_iommu:
            return "set-iommu";
        case Call::get_device:
            return "get-device";
    }
    return "";
}

class SimulatedContext final : public DmaContext {
  public:
    explicit SimulatedContext(UniqueFd given, std::vector<std::string> faults = {})
        : given_(std::move(given)), faults_(std::move(faults)) {}

    BorrowedFd given_context() const override { return given_.borrow(); }
    Result<Device> add_device(UniqueFd, const PciAddress& address, const std::optional<Uuid>&) override {
        for (const Call call : {Call::bind, Call::attach, Call::set_container, Call::set_iommu, Call::get_device}) {
            if (const int error = fault(address.text() + " " + word_of(call) + " "); error != 0) {
                return tl::unexpected(refusal(call, address, error));
            }
        }
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
    // The errno whose name stands behind `begin`; 0: none does.
    [[nodiscard]] int fault(const std::string& begin) const {
        constexpr int highest = 133;  // EHWPOISON
        const auto found = std::find_if(faults_.begin(), faults_.end(),
                                        [&begin](const std::string& text) { return text.starts_with(begin); });
        for (int error = 1; found != faults_.end() && error <= highest; ++error) {
            const char* const name = ::strerrorname_np(error);
            if (name != nullptr && found->compare(begin.size(), std::string::npos, name) == 0) {
                return error;
            }
        }
        return 0;
    }

    UniqueFd given_;  // in mode direct only
    std::vector<std::string> faults_;
    std::vector<UniqueFd> devices_;
};

}  // namespace

std::unique_ptr<DmaContext> make_simulated_context(std::vector<std::string> faults) {
    return std::make_unique<SimulatedContext>(UniqueFd(), std::move(faults));
}

std::unique_ptr<DmaContext> make_simulated_direct_context() {
    return std::make_unique<SimulatedContext>(UniqueFd(::memfd_create("iommu", MFD_CLOEXEC)));
}

}  // namespace iommud::kernel
