#include "daemon/monitor/listener.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "daemon/base/log.hpp"
#include "daemon/ipc/channel.hpp"

namespace iommud::monitor {

Listener::Listener(boost::asio::io_context& io, UniqueFd socket, std::function<void(UniqueFd)> accepted,
                   std::function<bool()> held_back)
    : socket_(std::move(socket)),
      descriptor_(io, socket_.get()),
      pause_(io),
      accepted_(std::move(accepted)),
      held_back_(std::move(held_back)) {
    wait();
}

Listener::~Listener() {
    descriptor_.release();
}

void Listener::turn_away(Burial::Owner owner) const {
    turn_away_all(socket_.borrow(), owner);
}

void turn_away_all(BorrowedFd listener, Burial::Owner owner) {
    static_cast<void>(::shutdown(listener.get(), SHUT_RDWR));
    for (int left = SOMAXCONN; left > 0; --left) {
        UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!connection.valid()) {
            return;
        }
        Burial::turn_away(owner, std::move(connection));
    }
}

void Listener::wait() {
    descriptor_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                           [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
                               if (!error && !alive.expired()) {
                                   accept_some();
                               }
                           });
}

void Listener::wait_a_little() {
    pause_.expires_after(std::chrono::milliseconds(100));
    pause_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& cancelled) {
        if (!cancelled && !alive.expired()) {
            wait();
        }
    });
}

void Listener::accept_some() {
    if (held_back_()) {
        wait_a_little();
        return;
    }
    // Then everybody else has a turn: who is here already, and other sockets.
    constexpr int most_at_once = 64;
    for (int turn = 0; turn < most_at_once; ++turn) {
        UniqueFd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        const int error = errno;
        if (connection.valid()) {
            accepted_(std::move(connection));
            continue;
        }
        if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
            log::warning(errno_message("accept, trying again in 100 ms", error));
            wait_a_little();
            return;
        }
        break;  // EAGAIN: that was all; anything else was that connection's own misfortune
    }
    wait();
}

Result<UniqueFd> listen_at(const std::string& path, unsigned mode) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail(ErrorCode::invalid_argument, "too long for a socket: " + path);
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ipc::refuse_descriptors(socket.borrow());
    ::unlink(path.c_str());
    const mode_t before = ::umask(0777 & ~mode);
    const bool listens = socket.valid() &&
                         ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                         ::listen(socket.get(), SOMAXCONN) == 0;
    const int error = errno;
    ::umask(before);
    if (!listens) {
        return fail(ErrorCode::internal, errno_message("listen at " + path, error));
    }
    return socket;
}

UniqueFd socket_from_systemd(const char* name) {
    char** names = nullptr;
    const int count = ::sd_listen_fds_with_names(0, &names);
    UniqueFd found;
    for (int i = 0; i < count; ++i) {
        if (std::strcmp(names[i], name) == 0 && !found.valid()) {
            found = UniqueFd(SD_LISTEN_FDS_START + i);
        }
        std::free(names[i]);
    }
    std::free(names);
    return found;
}

}  // namespace iommud::monitor
