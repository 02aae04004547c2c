// The lease channels of a lease together: who holds it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "daemon/keeper/lease_channel.hpp"

namespace iommud::keeper {

class Holders {
  public:
    [[nodiscard]] std::uint32_t count() const;
    [[nodiscard]] LeaseChannel& at(std::size_t index) { return channels_[index]; }

    // One more channel; answers the client's end of it, or nothing when there are 16.
    [[nodiscard]] Result<UniqueFd> add();
    [[nodiscard]] bool full() const { return count() == most_channels; }

    // To every channel. False when one of them did not take it: that ends the lease.
    [[nodiscard]] bool tell(const iommud_reply& event) const;

    // The lease has ended: says so to all but `released_by`, which gets `reply`; answers what was still asked; closes.
    void dismiss(std::optional<std::size_t> released_by, const iommud_reply& reply);

  private:
    std::array<LeaseChannel, most_channels> channels_;
};

}  // namespace iommud::keeper
