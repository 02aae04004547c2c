#include "daemon/ipc/channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace iommud::ipc {
namespace {

struct ControlBuffer {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(max_fds * sizeof(int))> bytes;
};

// Takes ownership of every descriptor that came with `header`, wanted or not.
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

}  // namespace

Packet& Packet::operator=(Packet&& other) noexcept {
    if (this != &other) {
        drop_fds();
        bytes = std::move(other.bytes);
        fds = std::move(other.fds);
    }
    return *this;
}

void Packet::drop_fds() {
    for (UniqueFd& fd : fds) {
        if (fd.valid()) {
            closing.strange(fd.release());
        }
    }
    fds.clear();
}

void refuse_descriptors(BorrowedFd socket) {
    constexpr int so_passrights = 83;  // not in Debian 12's headers
    constexpr int off = 0;
    static_cast<void>(::setsockopt(socket.get(), SOL_SOCKET, so_passrights, &off, sizeof off));
}

void Channel::refuse_descriptors() const {
    ipc::refuse_descriptors(socket_.borrow());
}

Result<std::pair<Channel, Channel>> Channel::pair() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) < 0) {
        return fail(ErrorCode::internal, errno_message("socketpair", errno));
    }
    return std::pair(Channel(UniqueFd(ends[0])), Channel(UniqueFd(ends[1])));
}

Result<Channel> Channel::duplicate() const {
    const int copy = ::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return fail(ErrorCode::internal, errno_message("duplicate a channel", errno));
    }
    return Channel(UniqueFd(copy));
}

SendResult Channel::send_bytes(std::span<const std::byte> bytes, std::span<const BorrowedFd> fds) const {
    if (bytes.empty() || bytes.size() > max_frame || fds.size() > max_fds) {  // empty: would look like end of file
        return SendResult::failed;
    }
    iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
    ControlBuffer buffer;
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = buffer.bytes.data();
        header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
        cmsghdr* control = CMSG_FIRSTHDR(&header);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
        for (std::size_t i = 0; i < fds.size(); ++i) {
            const int fd = fds[i].get();
            std::memcpy(CMSG_DATA(control) + i * sizeof(int), &fd, sizeof fd);
        }
    }
    while (::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        switch (errno) {
            case EINTR:
                continue;
            case EAGAIN:
            case ENOBUFS:
            case ETOOMANYREFS:
                return SendResult::full;
            case EPIPE:
            case ECONNRESET:
            case ENOTCONN:
                return SendResult::closed;
            default:
                return SendResult::failed;
        }
    }
    return SendResult::sent;
}

ReceiveResult Channel::receive(Packet& packet, std::size_t most_fds) const {
    packet.drop_fds();
    packet.bytes.clear();
    // Not into packet.bytes: it would be filled with 32 KiB of zeros for each frame, most of which have 100 bytes.
    std::array<std::byte, max_frame> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    iovec vector{bytes.data(), bytes.size()};
    ControlBuffer buffer;
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = buffer.bytes.data();
    header.msg_controllen = buffer.bytes.size();
    ssize_t size = 0;
    do {
        size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        const int error = errno;
        if (error == EAGAIN) {
            return ReceiveResult::empty;
        }
        return error == ECONNRESET ? ReceiveResult::closed : ReceiveResult::malformed;
    }
    packet.fds = take_descriptors(header);
    packet.bytes.assign(bytes.begin(), bytes.begin() + size);
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || packet.fds.size() > most_fds) {
        return ReceiveResult::malformed;
    }
    return size == 0 ? ReceiveResult::closed : ReceiveResult::packet;
}

bool Channel::has_unread() const {
    msghdr nothing{};  // no room: the packet is not looked at
    return ::recvmsg(socket_.get(), &nothing, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

}  // namespace iommud::ipc
