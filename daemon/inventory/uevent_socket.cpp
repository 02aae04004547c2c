#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "daemon/inventory/uevent.hpp"

namespace iommud {
namespace {

constexpr int receive_buffer = 4 * 1024 * 1024;
constexpr int most_datagrams = 1024;
// The kernel's own buffer for the strings is 2,048 bytes (UEVENT_BUFFER_SIZE), the head before them is a path.
constexpr std::size_t most_bytes = 8192;

enum class Taken { datagram, nothing, lost, failed };

struct Datagram {
    std::array<char, most_bytes> bytes;
    std::size_t size = 0;
    UeventSender sender;
};

std::optional<std::uint32_t> uid_of_sender(msghdr& header) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_CREDENTIALS &&
            control->cmsg_len == CMSG_LEN(sizeof(ucred))) {
            ucred credentials{};
            std::memcpy(&credentials, CMSG_DATA(control), sizeof credentials);
            return credentials.uid;
        }
    }
    return std::nullopt;
}

// errno is set when the answer is `failed`.
Taken take(BorrowedFd socket, Datagram& datagram) {
    sockaddr_nl address{};
    iovec vector{datagram.bytes.data(), datagram.bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control;
    msghdr header{};
    header.msg_name = &address;
    header.msg_namelen = sizeof address;
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) {
        switch (errno) {
            case EAGAIN:
                return Taken::nothing;
            case EINTR:
            case ENOBUFS:  // the queue was full; said once, and the queue goes on
                return Taken::lost;
            default:
                return Taken::failed;
        }
    }
    if ((header.msg_flags & MSG_TRUNC) != 0) {
        return Taken::lost;
    }
    datagram.size = static_cast<std::size_t>(got);
    const bool named = header.msg_namelen == sizeof address && address.nl_family == AF_NETLINK;
    datagram.sender = {named ? address.nl_pid : ~0U, address.nl_groups, uid_of_sender(header)};
    return Taken::datagram;
}

}  // namespace

Result<UeventSocket> UeventSocket::open() {
    UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
    if (!socket.valid()) {
        return fail(ErrorCode::internal, errno_message("open the socket for uevents", errno));
    }
    const int on = 1;
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) {
        return fail(ErrorCode::internal, errno_message("ask for the senders of uevents", errno));
    }
    // A small buffer loses uevents sooner, which receive() reports: not worth failing for.
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) < 0) {
        (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = 1;
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
        return fail(ErrorCode::internal, errno_message("listen for uevents", errno));
    }
    return UeventSocket(std::move(socket));
}

Result<UeventBatch> UeventSocket::receive() const {
    UeventBatch batch;
    Datagram datagram;
    for (int left = most_datagrams; left > 0; --left) {
        switch (take(socket_.borrow(), datagram)) {
            case Taken::nothing:
                return batch;
            case Taken::failed:
                return fail(ErrorCode::internal, errno_message("receive uevents", errno));
            case Taken::lost:
                batch.lost = true;
                break;
            case Taken::datagram:
                if (!sent_by_kernel(datagram.sender)) {
                    break;
                }
                if (const auto event = parse_uevent(std::span(datagram.bytes).first(datagram.size));
                    event && event->device) {
                    batch.devices.insert(*event->device);
                }
                break;
        }
    }
    return batch;
}

}  // namespace iommud
