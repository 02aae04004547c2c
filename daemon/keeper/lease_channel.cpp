#include "daemon/keeper/lease_channel.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "daemon/keeper/lease_frames.hpp"

namespace iommud::keeper {
namespace {

struct OneDescriptor {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> bytes{};
};

// A number that the kernel gives to a socket once and to no other ever; 0: no socket. Takes no lock of the socket's,
// which its owner may hold for ever: recvmsg(2), with MSG_PEEK too, waits there in D state (hazard C21).
std::uint64_t cookie_of(BorrowedFd descriptor) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return ::getsockopt(descriptor.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

struct ManyDescriptors {
    alignas(
        cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(Parked::most_of_one * sizeof(int))> bytes;
};

// The first one; the others are parked. Whether there were others.
bool take_descriptors(msghdr& header, UniqueFd& first, Parked& parked) {
    cmsghdr* control = CMSG_FIRSTHDR(&header);
    while (control != nullptr && (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)) {
        control = CMSG_NXTHDR(&header, control);
    }
    if (control == nullptr) {
        return false;
    }
    const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(control) + i * sizeof fd, sizeof fd);
        if (i == 0) {
            first = UniqueFd(fd);
        } else {
            parked.let_go(UniqueFd(fd));
        }
    }
    return count > 1;
}

}  // namespace

Result<std::pair<LeaseChannel, UniqueFd>> LeaseChannel::make() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0) {
        return fail(ErrorCode::internal, errno_message("make a lease channel", errno));
    }
    UniqueFd clients(ends[1]);
    return std::pair(LeaseChannel(UniqueFd(ends[0]), cookie_of(clients.borrow())), std::move(clients));
}

bool LeaseChannel::ends_in(BorrowedFd descriptor) const {
    return open() && other_end_ != 0 && cookie_of(descriptor) == other_end_;
}

bool LeaseChannel::hung_up() const {
    // POLLHUP stands for both directions: the other end is closed, or was shut down for both. The kernel does not tell
    // these two apart; POLLRDHUP alone is a shutdown of one direction.
    pollfd poll_for{socket_.get(), 0, 0};
    return ::poll(&poll_for, 1, 0) == 1 && (poll_for.revents & POLLHUP) != 0;
}

LeaseReceive LeaseChannel::receive(LeaseRequest& request, Parked& parked) const {
    request.descriptor.reset();
    std::array<std::byte, sizeof(iommud_request) + 1> bytes{};  // one more, so that a longer packet is seen to be one
    iovec vector{bytes.data(), bytes.size()};
    ManyDescriptors control;
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes.data();
    header.msg_controllen = control.bytes.size();
    ssize_t size = 0;
    do {
        size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        // ECONNRESET, once: the other end was closed with replies unread. What it had asked may still be there; then
        // the hang-up follows.
        return errno == EAGAIN || errno == ECONNRESET ? LeaseReceive::empty : LeaseReceive::ended;
    }
    const bool too_many = take_descriptors(header, request.descriptor, parked);
    if (size == 0) {
        const bool empty_packet = CMSG_FIRSTHDR(&header) != nullptr;
        return !empty_packet && hung_up() ? LeaseReceive::closed : LeaseReceive::ended;
    }
    const auto parsed = parse_request(std::span(bytes).first(static_cast<std::size_t>(size)));
    if (!parsed || too_many || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return LeaseReceive::ended;
    }
    request.request = *parsed;
    return LeaseReceive::request;
}

// With SO_PASSCRED every packet has credentials, one that was sent before too, and the end has none (scm_recv,
// include/net/scm.h; unix_dgram_recvmsg, net/unix/af_unix.c).
bool LeaseChannel::shut_down() const {
    const int on = 1;
    return ::shutdown(socket_.get(), SHUT_RDWR) == 0 &&
           ::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
}

LeaseSend LeaseChannel::send_bytes(std::span<const std::byte> bytes, BorrowedFd descriptor) const {
    iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};  // sendmsg does not write there
    OneDescriptor control;
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    if (descriptor.valid()) {
        header.msg_control = control.bytes.data();
        header.msg_controllen = control.bytes.size();
        cmsghdr* const rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        const int fd = descriptor.get();
        std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    while (::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EINTR) {
            return (errno == EPIPE || errno == ECONNRESET) && hung_up() ? LeaseSend::closed : LeaseSend::ended;
        }
    }
    return LeaseSend::sent;
}

LeaseSend LeaseChannel::send(const iommud_reply& reply, BorrowedFd descriptor) const {
    return send_bytes(std::as_bytes(std::span(&reply, 1)), descriptor);
}

LeaseSend LeaseChannel::send(const iommud_query_reply& reply) const {
    return send_bytes(std::as_bytes(std::span(&reply, 1)), {});
}

}  // namespace iommud::keeper
