// The keeper's ends of the lease channels: sockets, packets and descriptors, never a wait. What packets mean is
// lease_frames' business.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "client/lib/include/iommud/lease_channel.h"
#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/keeper/parked.hpp"

namespace iommud::keeper {

struct LeaseRequest {
    iommud_request request{};
    UniqueFd descriptor;
};

enum class LeaseReceive {
    request,
    empty,   // nothing to read now
    closed,  // the last copy of the other end is closed; or an empty packet, unless shut_down() was called or it has a
             // descriptor
    ended,   // its holder ended the lease: shutdown(2), an empty packet, rubbish, too many descriptors
};

enum class LeaseSend {
    sent,
    closed,  // nobody is there to hear it
    ended,   // it does not fit, or the holder shut the socket down: that ends the lease
};

class LeaseChannel {
  public:
    LeaseChannel() = default;
    // `other_end`: the cookie of the client's end.
    LeaseChannel(UniqueFd socket, std::uint64_t other_end) : socket_(std::move(socket)), other_end_(other_end) {}

    // Our end and the client's.
    [[nodiscard]] static Result<std::pair<LeaseChannel, UniqueFd>> make();

    [[nodiscard]] bool open() const { return socket_.valid(); }
    [[nodiscard]] BorrowedFd fd() const { return socket_.borrow(); }
    // Drops what is unread, and with it descriptors of the client's, whose last close may wait for anybody.
    void close() { socket_.reset(); }
    // Whether `descriptor` is the client's end of this very channel.
    [[nodiscard]] bool ends_in(BorrowedFd descriptor) const;

    // Descriptors beyond the first are parked: the kernel would close what finds no room, within recvmsg(2), and wait.
    // To be called only while `parked` is not full: it has room for one packet's more.
    [[nodiscard]] LeaseReceive receive(LeaseRequest& request, Parked& parked) const;
    // Nothing comes any more. What is unread can still be received, and LeaseReceive::closed follows it: an empty
    // packet is told from the end from now on, and is LeaseReceive::ended. False: it did not work.
    [[nodiscard]] bool shut_down() const;
    [[nodiscard]] LeaseSend send(const iommud_reply& reply, BorrowedFd descriptor = {}) const;
    [[nodiscard]] LeaseSend send(const iommud_query_reply& reply) const;

  private:
    [[nodiscard]] bool hung_up() const;
    [[nodiscard]] LeaseSend send_bytes(std::span<const std::byte> bytes, BorrowedFd descriptor) const;

    UniqueFd socket_;
    std::uint64_t other_end_ = 0;
};

// More packets than one channel's queue holds: of empty ones, 555 with the default limits (SO_SNDBUF,
// net.core.wmem_max).
inline constexpr int most_queued = 1024;

inline constexpr std::size_t most_channels = 16;  // of one lease, at a time

}  // namespace iommud::keeper
