// What a service tells systemd: READY, STATUS, WATCHDOG, STOPPING (sd_notify(3)'s protocol), without ever waiting:
// libsystemd's sd_notify() blocks while PID 1 is busy, and nothing in monitor or vault may wait for PID 1.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/unique_fd.hpp"

namespace iommud {

// One per process, made before any sandbox. Without $NOTIFY_SOCKET everything is accepted and goes nowhere.
class ServiceManager {
  public:
    ServiceManager() {
        const char* path = ::secure_getenv("NOTIFY_SOCKET");
        sockaddr_un address{};
        const std::size_t length = path == nullptr ? 0 : std::strlen(path);
        if (length < 2 || length >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) {
            return;
        }
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path, length);
        if (path[0] == '@') {
            address.sun_path[0] = '\0';  // an abstract address, whose length counts
        }
        UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
        if (socket.valid() && ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) {
            socket_ = std::move(socket);
        }
    }

    // `state` is lines such as "READY=1\nSTATUS=3 leases". What PID 1 does not take now goes out with the next call;
    // a service with a watchdog calls often enough. Never blocks.
    void notify(std::string_view state) {
        if (!socket_.valid()) {
            return;
        }
        if (pending_.size() + state.size() + 1 > most_pending) {
            pending_.clear();
        }
        pending_ += pending_.empty() ? "" : "\n";
        pending_ += state;
        if (::send(socket_.get(), pending_.data(), pending_.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            pending_.clear();
        }
    }

    // How often to say WATCHDOG=1: half of what the unit allows; nothing when it has no watchdog for this process.
    [[nodiscard]] static std::optional<std::chrono::microseconds> watchdog_interval() {
        const auto pid = number_from("WATCHDOG_PID");
        const auto usec = number_from("WATCHDOG_USEC");
        if (!usec || *usec < 2 || (pid && *pid != ::getpid())) {
            return std::nullopt;
        }
        return std::chrono::microseconds(*usec / 2);
    }

  private:
    static constexpr std::size_t most_pending = 2048;

    static std::optional<long long> number_from(const char* variable) {
        const char* text = ::secure_getenv(variable);
        if (text == nullptr) {
            return std::nullopt;
        }
        long long number = 0;
        const char* end = text + std::strlen(text);
        const auto [rest, error] = std::from_chars(text, end, number);
        return error == std::errc{} && rest == end ? std::optional(number) : std::nullopt;
    }

    UniqueFd socket_;
    std::string pending_;
};

}  // namespace iommud
