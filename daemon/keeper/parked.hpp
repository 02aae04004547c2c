// Descriptors of clients that it might take for ever to close: a FUSE file waits for its server, a TCP socket with
// SO_LINGER for its peer, an AF_UNIX socket for whatever is queued in it, a device for its reset. They stay open until
// DMA has ended and everybody knows (docs/adr/0003).
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "daemon/base/unique_fd.hpp"
#include "daemon/keeper/memory_checks.hpp"

namespace iommud::keeper {

class Parked {
  public:
    static constexpr std::size_t most = 16;
    static constexpr std::size_t most_of_one = 253;  // SCM_MAX_FD: what one packet brings

    [[nodiscard]] bool any() const { return count_ > 0; }
    [[nodiscard]] bool full() const { return count_ >= most; }

    // Closes memory at once, and keeps everything else. When full there is room for one packet's more: that of a
    // request whose answer began the release.
    void let_go(UniqueFd descriptor) {
        if (descriptor.valid() && !closes_at_once(descriptor.borrow())) {
            descriptors_[count_++] = std::move(descriptor);
        }
    }
    // May wait for ever.
    void close() {
        descriptors_ = {};
        count_ = 0;
    }

  private:
    std::array<UniqueFd, most + most_of_one> descriptors_;
    std::size_t count_ = 0;
};

}  // namespace iommud::keeper
