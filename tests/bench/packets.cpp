#include "tests/bench/packets.hpp"

#include <sys/socket.h>

#include <array>
#include <cstring>

#include "tests/bench/must.hpp"

namespace iommud::bench {

void send_packet(int channel, const void* bytes, std::size_t size, int fd) {
    iovec part{const_cast<void*>(bytes), size};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    must(::sendmsg(channel, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(size), "send a packet");
}

bool receive_packet(int channel, void* bytes, std::size_t size, int* fd) {
    iovec part{bytes, size};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(size)) {
        return false;
    }
    *fd = -1;
    if (const cmsghdr* const header = CMSG_FIRSTHDR(&message); header != nullptr) {
        std::memcpy(fd, CMSG_DATA(header), sizeof *fd);
    }
    return true;
}

}  // namespace iommud::bench
