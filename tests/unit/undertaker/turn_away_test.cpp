// Connections that are turned away: closed at once, unless a descriptor may lie in the queue.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/undertaker/burial.hpp"

namespace iommud {
namespace {

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

class TurnedAway : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_), 0); }
    void TearDown() override {
        close_here(ends_[1]);
        burial_.reset();
        closing = {};  // this process goes on, and closes by itself
    }
    void send_with_descriptor(int flags) const {
        char byte = 'x';
        iovec vector{&byte, 1};
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
        msghdr header{};
        header.msg_iov = &vector;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        *CMSG_FIRSTHDR(&header) = {
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        std::memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &ends_[1], sizeof(int));
        ASSERT_EQ(::sendmsg(ends_[1], &header, flags), 1);
    }
    [[nodiscard]] bool closed_at_once() const {
        Burial::turn_away(1000, UniqueFd(ends_[0]));
        char byte = 0;
        EXPECT_EQ(::send(ends_[1], &byte, 1, MSG_NOSIGNAL), -1) << "it was not told";
        return !is_open(ends_[0]);
    }
    int woken_ = 0;
    std::optional<Burial> burial_{std::in_place, [this] { ++woken_; }};
    int ends_[2] = {-1, -1};
};

TEST_F(TurnedAway, WithoutABytePeerOrDescriptorItIsClosedAtOnce) {
    EXPECT_TRUE(closed_at_once());
    EXPECT_EQ(woken_, 0);
}

TEST_F(TurnedAway, WithBytesAloneItIsClosedAtOnce) {
    const std::vector<char> bytes(100'000);
    ASSERT_EQ(::send(ends_[1], bytes.data(), bytes.size(), MSG_DONTWAIT), 100'000);

    EXPECT_TRUE(closed_at_once());
}

TEST_F(TurnedAway, WithAsManyBytesAsASenderMayHaveUnderWayItIsClosedAtOnce) {
    const int size = 1 << 20;  // as net.core.wmem_max allows
    ASSERT_EQ(::setsockopt(ends_[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    const std::vector<char> bytes(4096);
    std::size_t sent = 0;
    while (::send(ends_[1], bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
        sent += bytes.size();
    }
    ASSERT_GT(sent, 0U);

    EXPECT_TRUE(closed_at_once()) << sent;
}

TEST_F(TurnedAway, WhosePeerHasGoneWithSomethingUnreadItIsClosedAtOnce) {
    ASSERT_EQ(::send(ends_[0], "x", 1, 0), 1);
    ASSERT_EQ(::send(ends_[1], "x", 1, 0), 1);
    close_here(std::exchange(ends_[1], ::open("/dev/null", O_RDONLY | O_CLOEXEC)));

    Burial::turn_away(1000, UniqueFd(ends_[0]));

    EXPECT_FALSE(is_open(ends_[0]));
}

TEST_F(TurnedAway, WithADescriptorItIsNot) {
    send_with_descriptor(0);
    EXPECT_FALSE(closed_at_once());
    EXPECT_EQ(woken_, 1);
}

TEST_F(TurnedAway, WithADescriptorBehindOtherBytesItIsNot) {
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(::send(ends_[1], "bytes", 5, 0), 5);
    }
    send_with_descriptor(0);
    EXPECT_FALSE(closed_at_once());
}

TEST_F(TurnedAway, WithADescriptorBetweenOtherBytesItIsNot) {
    ASSERT_EQ(::send(ends_[1], "bytes", 5, 0), 5);
    send_with_descriptor(0);
    ASSERT_EQ(::send(ends_[1], "bytes", 5, 0), 5);
    EXPECT_FALSE(closed_at_once());
}

TEST_F(TurnedAway, WithADescriptorOutOfBandItIsNot) {
    send_with_descriptor(MSG_OOB);
    EXPECT_FALSE(closed_at_once());
}

TEST_F(TurnedAway, WithADescriptorOutOfBandBehindOtherBytesItIsNot) {
    ASSERT_EQ(::send(ends_[1], "bytes", 5, 0), 5);
    send_with_descriptor(MSG_OOB);
    ASSERT_EQ(::send(ends_[1], "bytes", 5, 0), 5);
    EXPECT_FALSE(closed_at_once());
}

}  // namespace
}  // namespace iommud
