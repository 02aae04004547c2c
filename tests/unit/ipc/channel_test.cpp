#include "daemon/ipc/channel.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <filesystem>

#include "daemon/ipc/worker_messages.hpp"

namespace iommud::ipc {
namespace {

std::ptrdiff_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
}

TEST(Channel, CarriesAFrameWithDescriptorsThatAreCloseOnExec) {
    auto [left, right] = Channel::pair().value();
    UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const BorrowedFd fds[] = {null.borrow(), null.borrow()};

    ASSERT_EQ(left.send(ReloadRequest{.cookie = 5}, fds), SendResult::sent);
    Packet packet;
    ASSERT_EQ(right.receive(packet), ReceiveResult::packet);

    EXPECT_EQ(decode<ReloadRequest>(packet.bytes)->cookie, 5U);
    ASSERT_EQ(packet.fds.size(), 2U);
    EXPECT_EQ(::fcntl(packet.fds[0].get(), F_GETFD), FD_CLOEXEC);
}

TEST(Channel, MoreDescriptorsThanExpectedAreMalformedAndClosed) {
    auto [left, right] = Channel::pair().value();
    UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const BorrowedFd fds[] = {null.borrow(), null.borrow()};
    const auto before = open_descriptors();
    ASSERT_EQ(left.send(ReloadRequest{}, fds), SendResult::sent);

    {
        Packet packet;
        EXPECT_EQ(right.receive(packet, 1), ReceiveResult::malformed);
    }

    EXPECT_EQ(open_descriptors(), before);
}

TEST(Channel, AnOversizedPacketIsMalformed) {
    auto [left, right] = Channel::pair().value();
    const Bytes huge(max_frame + 1);
    ASSERT_EQ(::send(left.fd().get(), huge.data(), huge.size(), 0), static_cast<ssize_t>(huge.size()));

    Packet packet;
    EXPECT_EQ(right.receive(packet), ReceiveResult::malformed);
}

TEST(Channel, AFullQueueIsSaidAndNotWaitedFor) {
    auto [left, right] = Channel::pair().value();
    const Bytes frame(1024);
    SendResult result = SendResult::sent;

    for (int i = 0; i < 100000 && result == SendResult::sent; ++i) {
        result = left.send_bytes(frame);
    }

    EXPECT_EQ(result, SendResult::full);
}

TEST(Channel, APeerThatIsGoneIsClosed) {
    auto [left, right] = Channel::pair().value();
    right.close();
    Packet packet;

    EXPECT_EQ(left.send(ReloadRequest{}), SendResult::closed);
    EXPECT_EQ(left.receive(packet), ReceiveResult::closed);
}

}  // namespace
}  // namespace iommud::ipc
