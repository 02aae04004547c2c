// The lease channel's transport: whole packets over the lease descriptor. Waits, as its caller wants; works the same on
// sockets that are and are not O_NONBLOCK, which is not ours to change: other holders may share the socket.
#pragma once

#include <chrono>
#include <optional>
#include <span>

#include "client/lib/failure.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::lib {

// What a keeper sends: `reply` for every kind but IOMMUD_QUERY_REPLY, which fills `query` too.
struct KeeperPacket {
    iommud_reply reply{};
    iommud_query_reply query{};
    UniqueFd fd;  // CLOEXEC; only with a reply
};

// The packet in `bytes`, or nothing where size or kind are not the protocol's.
[[nodiscard]] std::optional<KeeperPacket> parse_packet(std::span<const std::byte> bytes);

enum class Received {
    packet,
    nothing,    // within the time
    ended,      // the other side closed
    malformed,  // not of the protocol; whatever came with it is closed
};

class ChannelTransport {
  public:
    using Clock = std::chrono::steady_clock;

    explicit ChannelTransport(UniqueFd socket) : socket_(std::move(socket)) {}

    [[nodiscard]] BorrowedFd fd() const { return socket_.borrow(); }

    // Waits for room. `passed` goes with the packet if it is valid. Fails with IOMMUD_ERROR_LEASE_REVOKED where the
    // other side is closed.
    [[nodiscard]] Outcome<void> send(const iommud_request& request, BorrowedFd passed) const;

    // Waits until `deadline`; for ever without one.
    [[nodiscard]] Outcome<Received> receive(KeeperPacket& packet, std::optional<Clock::time_point> deadline) const;

  private:
    [[nodiscard]] Outcome<bool> wait(short events, std::optional<Clock::time_point> deadline) const;

    UniqueFd socket_;
};

}  // namespace iommud::lib
