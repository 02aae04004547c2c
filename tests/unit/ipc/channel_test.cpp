#include "daemon/ipc/channel.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
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

// Where this process has no room for another descriptor the kernel leaves it out, and says so.
TEST(Channel, DescriptorsThatFindNoPlaceAreMalformed) {
    const auto [ours, theirs] = Channel::pair().value();
    const std::array<BorrowedFd, 1> fds{theirs.fd()};
    ASSERT_EQ(theirs.send(ReloadRequest{}, fds), SendResult::sent);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);

    Packet packet;
    const ReceiveResult result = ours.receive(packet);

    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(result, ReceiveResult::malformed);
}

TEST(Channel, AnEmptyFrameIsNotSent) {
    const auto [ours, theirs] = Channel::pair().value();

    EXPECT_EQ(theirs.send_bytes({}), SendResult::failed);

    Packet packet;
    EXPECT_EQ(ours.receive(packet), ReceiveResult::empty);
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
