// In place of iommud-worker or iommud-keeper: one that an attacker runs. Whatever descriptors come to it, from its
// client or from the vault, it leaves in its channel to the monitor, and keeps none of them.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace {

constexpr int channel = 3;
constexpr int other = 4;  // a worker's client; a keeper's lifeline, which is a pipe

// False: it has hung up, or is no socket.
bool pass_on(int from) {
    std::array<char, 65536> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    alignas(cmsghdr) std::array<char, CMSG_SPACE(253 * sizeof(int))>
        control;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    iovec vector{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(from, &message, MSG_DONTWAIT);
    if (size <= 0) {
        return false;
    }
    const cmsghdr* rights = CMSG_FIRSTHDR(&message);
    if (rights != nullptr && rights->cmsg_type == SCM_RIGHTS) {
        vector.iov_len = 8;
        message.msg_flags = 0;
        static_cast<void>(::sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
        for (std::size_t i = 0; i < (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(rights) + i * sizeof fd, sizeof fd);
            ::close(fd);
        }
    }
    return true;
}

}  // namespace

int main() {
    std::array<pollfd, 2> watched{{{channel, POLLIN, 0}, {other, POLLIN, 0}}};
    while (::poll(watched.data(), watched.size(), -1) > 0) {
        if (watched[0].revents != 0 && !pass_on(channel)) {
            return 0;
        }
        if (watched[1].revents != 0 && !pass_on(other)) {
            watched[1].fd = -1;
        }
    }
    return 0;
}
