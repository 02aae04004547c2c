// A descriptor whose close waits (hazard C20).
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>

#include "daemon/base/unique_fd.hpp"

namespace iommud::test {

// Whoever closes `socket` last waits for five minutes, or until `peer`, which reads nothing, is closed. `peer` goes
// first: a test does not wait for its own close.
struct Lingering {
    UniqueFd socket;
    UniqueFd peer;
};

inline Lingering lingering() {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    UniqueFd sender(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(sender.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
    UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::array<char, 65536> data{};
    while (::send(sender.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    EXPECT_EQ(errno, EAGAIN);
    const linger linger{1, 300};
    EXPECT_EQ(::setsockopt(sender.get(), SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    return {.socket = std::move(sender), .peer = std::move(peer)};
}

// A process stands still until go_on(). Who sends it a socket that lingers closes the own copy meanwhile: else that may
// be the last one, and the test waits.
class Stopped {
  public:
    // Returns when it does: kill(2) returns before, and a signal that comes in between would still end it.
    explicit Stopped(pid_t pid) : pid_(pid) {
        ::kill(pid_, SIGSTOP);
        constexpr int most_looks = 5000;
        int looks = 0;
        while (state() != 'T' && ++looks < most_looks) {
            ::usleep(1000);
        }
        EXPECT_LT(looks, most_looks) << "it does not stop";
    }
    void go_on() const { ::kill(pid_, SIGCONT); }

  private:
    [[nodiscard]] char state() const {
        std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
        const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        const std::size_t name = text.rfind(')');
        return name == std::string::npos || name + 2 >= text.size() ? '?' : text[name + 2];
    }
    pid_t pid_;
};

// Whether sockets of this kernel can refuse descriptors (SO_PASSRIGHTS, 6.16).
inline bool kernel_refuses_descriptors() {
    constexpr int so_passrights = 83;
    constexpr int off = 0;
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::setsockopt(socket.get(), SOL_SOCKET, so_passrights, &off, sizeof off) == 0;
}

}  // namespace iommud::test
