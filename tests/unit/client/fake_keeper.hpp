// The keeper's end of a lease channel, held by the test: it says its answers before they are asked for, and looks at
// the requests afterwards. Cookies of a fresh channel count from 1.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <iommud/lease_channel.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/base/unique_fd.hpp"

namespace iommud::lib {

struct SeenRequest {
    iommud_request request{};
    std::vector<UniqueFd> fds;
};

class FakeKeeper {
  public:
    FakeKeeper() {
        int ends[2] = {-1, -1};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        keeper_.reset(ends[0]);
        client_.reset(ends[1]);
    }

    [[nodiscard]] UniqueFd take_client_end() { return std::move(client_); }
    void close() { keeper_.reset(); }
    // Whether every client's end is closed.
    [[nodiscard]] bool hung_up() const {
        char byte = 0;
        return ::recv(keeper_.get(), &byte, 1, MSG_DONTWAIT) == 0;
    }

    template <class Frame>
    void say(const Frame& frame, const std::vector<int>& fds = {}) {
        say_bytes(&frame, sizeof frame, fds);
    }

    void say_bytes(const void* bytes, std::size_t size, const std::vector<int>& fds = {}) {
        iovec vector{const_cast<void*>(bytes), size};
        alignas(cmsghdr) char control[CMSG_SPACE(32 * sizeof(int))] = {};
        msghdr header{};
        header.msg_iov = &vector;
        header.msg_iovlen = 1;
        if (!fds.empty()) {
            header.msg_control = control;
            header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
            cmsghdr* first = CMSG_FIRSTHDR(&header);
            first->cmsg_level = SOL_SOCKET;
            first->cmsg_type = SCM_RIGHTS;
            first->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
            std::memcpy(CMSG_DATA(first), fds.data(), fds.size() * sizeof(int));
        }
        EXPECT_EQ(::sendmsg(keeper_.get(), &header, MSG_NOSIGNAL), static_cast<ssize_t>(size));
    }

    void say_reply(std::uint64_t cookie, std::uint64_t value, std::uint32_t error = 0) {
        say(iommud_reply{.kind = IOMMUD_REPLY, .error = error, .cookie = cookie, .value = value});
    }
    void say_event(iommud_packet_kind kind, std::uint64_t value) {
        say(iommud_reply{.kind = static_cast<std::uint32_t>(kind), .error = 0, .cookie = 0, .value = value});
    }

    [[nodiscard]] SeenRequest next_request() {
        SeenRequest seen;
        iovec vector{&seen.request, sizeof seen.request};
        alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
        msghdr header{};
        header.msg_iov = &vector;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        EXPECT_EQ(::recvmsg(keeper_.get(), &header, MSG_CMSG_CLOEXEC), static_cast<ssize_t>(sizeof seen.request));
        if (const cmsghdr* first = CMSG_FIRSTHDR(&header); first != nullptr) {
            const std::size_t count = (first->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            std::vector<int> numbers(count);
            std::memcpy(numbers.data(), CMSG_DATA(first), count * sizeof(int));
            for (const int number : numbers) {
                seen.fds.emplace_back(number);
            }
        }
        return seen;
    }

  private:
    UniqueFd keeper_;
    UniqueFd client_;
};

}  // namespace iommud::lib
