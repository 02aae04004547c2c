#include "client/lib/channel_transport.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstring>
#include <vector>

namespace iommud::lib {
namespace {

static_assert(std::endian::native == std::endian::little, "the lease channel's frames are little-endian");

// Room for more descriptors than a keeper ever sends, so that they are seen, and closed, and not only truncated.
constexpr std::size_t fd_room = 16;

struct ControlBuffer {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(fd_room * sizeof(int))> bytes;
};

std::vector<UniqueFd> take_descriptors(msghdr& header) {
    std::vector<UniqueFd> fds;
    for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof fd);
            fds.emplace_back(fd);
        }
    }
    return fds;
}

template <class T>
T copied(std::span<const std::byte> bytes) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

}  // namespace

std::optional<KeeperPacket> parse_packet(std::span<const std::byte> bytes) {
    if (bytes.size() < sizeof(iommud_reply)) {
        return std::nullopt;
    }
    KeeperPacket packet;
    packet.reply = copied<iommud_reply>(bytes);
    switch (packet.reply.kind) {
        case IOMMUD_REPLY:
        case IOMMUD_RELEASE_REQUESTED:
        case IOMMUD_REVOKED:
            return bytes.size() == sizeof(iommud_reply) ? std::optional(std::move(packet)) : std::nullopt;
        case IOMMUD_QUERY_REPLY:
            if (bytes.size() != sizeof(iommud_query_reply)) {
                return std::nullopt;
            }
            packet.query = copied<iommud_query_reply>(bytes);
            packet.reply.value = 0;
            return packet.query.range_count <= std::size(packet.query.ranges) ? std::optional(std::move(packet))
                                                                              : std::nullopt;
        default:  // a number from the other side, not an enumeration
            return std::nullopt;
    }
}

// True when something can be done; false when the time is up.
Outcome<bool> ChannelTransport::wait(short events, std::optional<Clock::time_point> deadline) const {
    pollfd waiting{socket_.get(), events, 0};
    for (;;) {
        int milliseconds = -1;
        if (deadline) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
            milliseconds = static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
        }
        const int ready = ::poll(&waiting, 1, milliseconds);
        if (ready >= 0) {
            return ready > 0;
        }
        if (errno != EINTR) {
            return system_failed("wait for the lease channel", errno);
        }
    }
}

Outcome<void> ChannelTransport::send(const iommud_request& request, BorrowedFd passed) const {
    iommud_request frame = request;
    iovec vector{&frame, sizeof frame};
    ControlBuffer buffer{};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    if (passed.valid()) {
        header.msg_control = buffer.bytes.data();
        header.msg_controllen = CMSG_SPACE(sizeof(int));
        cmsghdr* control = CMSG_FIRSTHDR(&header);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(sizeof(int));
        const int fd = passed.get();
        std::memcpy(CMSG_DATA(control), &fd, sizeof fd);
    }
    while (::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        switch (const int error = errno; error) {
            case EINTR:
                break;
            case EAGAIN: {
                if (const auto room = wait(POLLOUT, std::nullopt); !room) {
                    return tl::unexpected(room.error());
                }
                break;
            }
            case EPIPE:
            case ECONNRESET:
            case ENOTCONN:
                return failed(IOMMUD_ERROR_LEASE_REVOKED, "the lease has ended");
            default:
                return system_failed("send on the lease channel", error);
        }
    }
    return {};
}

Outcome<Received> ChannelTransport::receive(KeeperPacket& packet, std::optional<Clock::time_point> deadline) const {
    std::array<std::byte, sizeof(iommud_query_reply)> bytes;
    ControlBuffer buffer{};
    for (int resets = 0;;) {
        iovec vector{bytes.data(), bytes.size()};
        msghdr header{};
        header.msg_iov = &vector;
        header.msg_iovlen = 1;
        header.msg_control = buffer.bytes.data();
        header.msg_controllen = buffer.bytes.size();
        // Without a deadline the read itself waits, unless somebody has made the descriptor non-blocking.
        const int flags = MSG_CMSG_CLOEXEC | (deadline ? MSG_DONTWAIT : 0);
        const ssize_t size = ::recvmsg(socket_.get(), &header, flags);
        if (size < 0) {
            const int error = errno;
            if (error == EAGAIN) {
                const auto ready = wait(POLLIN, deadline);
                if (!ready) {
                    return tl::unexpected(ready.error());
                }
                if (!*ready) {
                    return Received::nothing;
                }
            } else if (error == ECONNRESET && resets++ == 0) {
                continue;  // said once, before the packets that still wait to be read
            } else if (error == ECONNRESET || error == ENOTCONN) {
                return Received::ended;
            } else if (error != EINTR) {
                return system_failed("read the lease channel", error);
            }
            continue;
        }
        std::vector<UniqueFd> fds = take_descriptors(header);
        if (size == 0 && fds.empty()) {
            return Received::ended;
        }
        auto parsed = parse_packet(std::span(bytes).first(static_cast<std::size_t>(size)));
        const bool truncated = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
        if (!parsed || truncated || fds.size() > 1 || (!fds.empty() && parsed->reply.kind != IOMMUD_REPLY)) {
            return Received::malformed;
        }
        packet = std::move(*parsed);
        if (!fds.empty()) {
            packet.fd = std::move(fds.front());
        }
        return Received::packet;
    }
}

}  // namespace iommud::lib
