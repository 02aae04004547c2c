// For the monitor alone: the vault imports no ioctl(2).
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "daemon/undertaker/burial.hpp"

namespace iommud {
namespace {

// A sender has at most twice net.core.wmem_max under way, of which the default was 208 KiB and is 4 MiB.
constexpr std::size_t most_unread = std::size_t{16} << 20;
constexpr std::size_t piece = std::size_t{64} << 10;

// Whether a descriptor may lie in the queue of a stream that was shut down: nothing comes behind what is there. A look
// from the front stops behind the first packet that has one, and says that it left out control data; where it stops
// for any other reason, it has seen less than there is. Takes the lock of those who receive from `fd`, who are we.
bool may_carry_descriptors(int fd) {
    int queued = -1;
    if (::ioctl(fd, FIONREAD, &queued) != 0 || queued < 0 || static_cast<std::size_t>(queued) > most_unread) {
        return true;
    }
    // What is seen is of no interest: all of it goes to one place.
    std::array<std::byte, piece> unread;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    std::array<iovec, most_unread / piece> pieces;
    pieces.fill({unread.data(), unread.size()});
    msghdr header{};
    header.msg_iov = pieces.data();
    header.msg_iovlen = pieces.size();
    ssize_t seen = ::recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT);
    if (seen < 0 && errno == ECONNRESET) {  // said once, when the peer has gone with something unread
        seen = ::recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT);
    }
    return seen != queued || (header.msg_flags & MSG_CTRUNC) != 0;
}

}  // namespace

void Burial::turn_away(Owner owner, UniqueFd connection) {
    if (!connection.valid()) {
        return;
    }
    static_cast<void>(::shutdown(connection.get(), SHUT_RDWR));
    if (!may_carry_descriptors(connection.get())) {
        close_here(connection.release());
    } else {
        let_go(owner, std::move(connection));
    }
}

}  // namespace iommud
