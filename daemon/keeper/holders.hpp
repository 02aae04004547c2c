// The lease channels of a lease together: who holds it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "daemon/keeper/lease_channel.hpp"
#include "daemon/keeper/parked.hpp"

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

    // DMA has ended: says so to all but `released_by`, which gets `reply`, and answers what was still asked, as long as
    // there is room in `parked` for what comes with it. Closes nothing that could wait.
    void dismiss(std::optional<std::size_t> released_by, const iommud_reply& reply, Parked& parked);
    // Answers what came since, and closes. May wait for ever: see LeaseChannel::close().
    void close(Parked& parked);
    // Whether closing `descriptor` cannot wait, and must not be put off either: a lease's own descriptor that is kept
    // here would keep the lease alive.
    [[nodiscard]] bool has_end(BorrowedFd descriptor) const;

  private:
    std::array<LeaseChannel, most_channels> channels_;
};

}  // namespace iommud::keeper
