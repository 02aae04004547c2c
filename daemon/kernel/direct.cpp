// The context of a direct lease: its holder has it, binds devices and maps as it likes. This copy of it does nothing
// before the lease ends; then it takes back what can be taken back.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "daemon/kernel/context.hpp"
#include "daemon/kernel/iommufd_objects.hpp"

namespace iommud::kernel {
namespace {

// The kernel gives an object the lowest free number, and says of none what numbers there are. A holder can make more
// objects than this and destroy the lower ones: what it maps in those beyond ends with its process, as the last thing.
constexpr std::uint32_t first_numbers = 256;
constexpr std::uint32_t last_number = 1U << 14;
constexpr std::size_t most_remembered = 1024;

class DirectContext final : public DmaContext {
  public:
    explicit DirectContext(UniqueFd iommu) : iommu_(std::move(iommu)) {
        devices_.reserve(32);
        beyond_.reserve(most_remembered);
    }

    BorrowedFd given_context() const override { return iommu_.borrow(); }
    // Unbound as it is: only a BIND would show whether its reset works, and would be the one that counts.
    Result<Device> add_device(UniqueFd device, const PciAddress&, const std::optional<Uuid>&) override {
        devices_.push_back(std::move(device));
        return Device{devices_.back().borrow(), true};
    }
    void remove_devices(std::size_t keep) override { devices_.resize(std::min(keep, devices_.size())); }
    Result<Geometry> geometry() const override { return Geometry(); }
    bool chooses_iova() const override { return true; }
    MapResult map(const MapRequest&) override { return {EOPNOTSUPP, 0, 0}; }
    int unmap(const Map&) override { return EOPNOTSUPP; }
    int unmap_all(std::span<const Map>) override;
    void detach_devices() override {}
    int destroy() override { return 0; }  // let_go() does: a device that its holder has bound keeps much of it
    void close_devices() override { devices_.clear(); }
    bool let_go() override;

  private:
    [[nodiscard]] bool clear(std::uint32_t id);
    [[nodiscard]] bool clear_all();

    UniqueFd iommu_;
    std::vector<UniqueFd> devices_;      // until they are handed out
    std::vector<std::uint32_t> beyond_;  // numbers above the first ones that were there when all were looked at
};

int DirectContext::unmap_all(std::span<const Map>) {
    for (std::uint32_t id = 1; id <= last_number; ++id) {
        // ENOENT: no address space. Anything else is not to be had by trying again.
        static_cast<void>(unmap_range(iommu_.borrow(), id, 0, UINT64_MAX));
    }
    return 0;
}

// True when there is nothing of that number any more.
bool DirectContext::clear(std::uint32_t id) {
    int error = destroy_object(iommu_.borrow(), id);
    if (error != 0 && error != ENOENT) {
        static_cast<void>(unmap_range(iommu_.borrow(), id, 0, UINT64_MAX));
        error = destroy_object(iommu_.borrow(), id);
    }
    return error == 0 || error == ENOENT;
}

bool DirectContext::clear_all() {
    beyond_.clear();
    bool all_gone = true;
    for (std::uint32_t id = 1; id <= last_number; ++id) {
        if (!clear(id)) {
            all_gone = false;
            if (id > first_numbers && beyond_.size() < most_remembered) {
                beyond_.push_back(id);
            }
        }
    }
    return all_gone;
}

// All numbers are looked at only when what was there before is gone: this is tried ten times a second for as long as a
// former holder keeps something.
bool DirectContext::let_go() {
    bool all_gone = true;
    for (std::uint32_t id = 1; id <= first_numbers; ++id) {
        all_gone = clear(id) && all_gone;
    }
    for (const std::uint32_t id : beyond_) {
        all_gone = clear(id) && all_gone;
    }
    return all_gone && clear_all();
}

}  // namespace

std::unique_ptr<DmaContext> make_direct_context(UniqueFd iommu) {
    return std::make_unique<DirectContext>(std::move(iommu));
}

}  // namespace iommud::kernel
