#include "daemon/vault/monitor_link.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace iommud::vault {
namespace {

constexpr std::size_t longest_queue = 16384;  // every lease and every thing held, and as much again
constexpr int waiting_connections = 8;

UniqueFd listen_at(const std::string& folder) {
    struct stat status {};
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        throw Fatal(errno_message(folder, errno));
    }
    if (::lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() ||
        (status.st_mode & (S_IWGRP | S_IRWXO)) != 0) {
        throw Fatal(folder + ": not a folder of the vault's own, closed to others");
    }
    const std::string path = folder + "/monitor";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        throw Fatal(path + ": too long for a socket");
    }
    std::memcpy(address.sun_path, path.c_str(), path.size());
    ::unlink(path.c_str());
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // The folder's group, the monitor's, is the socket's (set-group-id): no capability is needed to let it in.
    const mode_t before = ::umask(0117);
    const bool bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const int error = errno;
    ::umask(before);
    if (!bound || ::listen(socket.get(), waiting_connections) != 0) {
        throw Fatal(errno_message(path, bound ? errno : error));
    }
    return socket;
}

}  // namespace

MonitorLink::MonitorLink(const std::string& run, uid_t peer_uid)
    : peer_uid_(peer_uid), listener_(listen_at(run + "/vault")) {}

bool MonitorLink::accept() {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    ucred peer{};
    socklen_t size = sizeof peer;
    if (!socket.valid() || connected() || ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        peer.uid != peer_uid_) {
        return false;
    }
    channel_ = ipc::Channel(std::move(socket));
    ++generation_;
    return true;
}

ipc::ReceiveResult MonitorLink::receive(ipc::Packet& packet) const {
    constexpr std::size_t most_descriptors = 2;  // StartWorker's
    return channel_.receive(packet, most_descriptors);
}

void MonitorLink::drop() {
    channel_.close();
    queue_.clear();
}

bool MonitorLink::enqueue(ipc::Bytes bytes, std::span<const BorrowedFd> fds) {
    if (!connected()) {
        return true;
    }
    if (bytes.empty()) {
        return false;  // what the monitor would refuse, see encode()
    }
    Waiting frame{std::move(bytes), {}};
    for (const BorrowedFd fd : fds) {
        frame.fds.emplace_back(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
        if (!frame.fds.back().valid()) {
            return false;
        }
    }
    queue_.push_back(std::move(frame));
    return queue_.size() <= longest_queue;
}

bool MonitorLink::flush() {
    while (!queue_.empty()) {
        std::vector<BorrowedFd> fds;
        for (const UniqueFd& fd : queue_.front().fds) {
            fds.push_back(fd.borrow());
        }
        switch (channel_.send_bytes(queue_.front().bytes, fds)) {
            case ipc::SendResult::sent:
                queue_.pop_front();
                break;
            case ipc::SendResult::full:
                return true;
            case ipc::SendResult::closed:
            case ipc::SendResult::failed:
                return false;
        }
    }
    return true;
}

}  // namespace iommud::vault
