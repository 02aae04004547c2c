// A SOCK_SEQPACKET socket between two of our processes: whole frames with descriptors, never a wait.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/ipc/codec.hpp"

namespace iommud::ipc {

struct Packet {
    Packet() = default;
    Packet(Packet&&) = default;
    Packet& operator=(Packet&& other) noexcept;
    Packet(const Packet&) = delete;
    Packet& operator=(const Packet&) = delete;
    ~Packet() { drop_fds(); }
    // What nobody took out of `fds` is closed as a stranger's: whatever its kind (see Closing).
    void drop_fds();

    Bytes bytes;
    std::vector<UniqueFd> fds;  // CLOEXEC
};

enum class SendResult {
    sent,
    full,    // the peer does not read: nothing was sent
    closed,  // the peer is gone
    failed,  // another errno, or a frame that the peer would refuse; nothing was sent
};

enum class ReceiveResult {
    packet,
    empty,      // nothing to read now
    closed,     // end of file, or an empty packet, which looks the same
    malformed,  // too long a packet or too many descriptors (MSG_TRUNC, MSG_CTRUNC), or another errno: drop the peer
};

// As Channel::refuse_descriptors(), for a socket that is none.
void refuse_descriptors(BorrowedFd socket);

class Channel {
  public:
    Channel() = default;
    explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

    // Two connected ends, CLOEXEC and non-blocking.
    [[nodiscard]] static Result<std::pair<Channel, Channel>> pair();

    [[nodiscard]] bool open() const { return socket_.valid(); }
    [[nodiscard]] BorrowedFd fd() const { return socket_.borrow(); }
    [[nodiscard]] UniqueFd take() { return std::move(socket_); }
    void close() { socket_.reset(); }
    [[nodiscard]] Result<Channel> duplicate() const;

    [[nodiscard]] SendResult send_bytes(std::span<const std::byte> bytes, std::span<const BorrowedFd> fds = {}) const;
    // Reads one packet into `packet`, replacing what it held. `most_fds` bounds the descriptors that are accepted.
    [[nodiscard]] ReceiveResult receive(Packet& packet, std::size_t most_fds = max_fds) const;

    // From now on the peer's attempts to send descriptors to this end fail with EPERM, where the kernel can do that
    // (SO_PASSRIGHTS, 6.16 and newer). What connects to a listening socket inherits it at connect (af_unix.c).
    void refuse_descriptors() const;

    // Whether receive() would return anything but `empty`.
    [[nodiscard]] bool has_unread() const;

    template <class Message>
    [[nodiscard]] SendResult send(const Message& message, std::span<const BorrowedFd> fds = {}) const {
        return send_bytes(encode(message), fds);
    }

  private:
    UniqueFd socket_;
};

}  // namespace iommud::ipc
