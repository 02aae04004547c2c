#include "daemon/monitor/async_channel.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "daemon/ipc/worker_messages.hpp"

namespace iommud::monitor {
namespace {

using namespace std::chrono_literals;

struct Peer {
    boost::asio::io_context io{1};
    ipc::Channel far;
    std::vector<std::uint64_t> cookies;
    std::string ended;
    std::shared_ptr<AsyncChannel> near;

    explicit Peer(AsyncChannel::Limits limits) {
        auto pair = ipc::Channel::pair().value();
        far = std::move(pair.first);
        near = AsyncChannel::open(io, std::move(pair.second), limits,
                                  {.packet =
                                       [this](ipc::Packet& packet) {
                                           cookies.push_back(ipc::decode<ipc::ReloadRequest>(packet.bytes)->cookie);
                                       },
                                   .ended = [this](const std::string& why) { ended = why; }});
    }
};

TEST(AsyncChannel, HandsOverPacketsInOrder) {
    Peer peer({});
    ASSERT_EQ(peer.far.send(ipc::ReloadRequest{.cookie = 1}), ipc::SendResult::sent);
    ASSERT_EQ(peer.far.send(ipc::ReloadRequest{.cookie = 2}), ipc::SendResult::sent);

    peer.io.run_for(20ms);

    EXPECT_EQ(peer.cookies, (std::vector<std::uint64_t>{1, 2}));
}

TEST(AsyncChannel, SaysThatThePeerHungUp) {
    Peer peer({});
    peer.far.close();

    peer.io.run_for(20ms);

    EXPECT_EQ(peer.ended, "hung up");
}

TEST(AsyncChannel, TakesNoDescriptorThatItDoesNotExpect) {
    Peer peer({.most_fds = 0});
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const BorrowedFd fds[] = {null.borrow()};
    ASSERT_EQ(peer.far.send(ipc::ReloadRequest{}, fds), ipc::SendResult::sent);

    peer.io.run_for(20ms);

    EXPECT_FALSE(peer.ended.empty());
    EXPECT_TRUE(peer.cookies.empty());
}

TEST(AsyncChannel, KeepsWhatDoesNotFitUntilThePeerReads) {
    Peer peer({});
    for (std::uint64_t i = 0; i < 2000; ++i) {
        peer.near->send(ipc::ReloadRequest{.cookie = i});
    }

    std::uint64_t next = 0;
    for (int turn = 0; turn < 1000 && next < 2000; ++turn) {
        ipc::Packet packet;
        while (peer.far.receive(packet) == ipc::ReceiveResult::packet) {
            ASSERT_EQ(ipc::decode<ipc::ReloadRequest>(packet.bytes)->cookie, next++);
        }
        peer.io.run_for(1ms);
    }

    EXPECT_EQ(next, 2000U);
}

TEST(AsyncChannel, EndsAPeerThatDoesNotRead) {
    Peer peer({.most_fds = 0, .most_queued = 4096});
    for (std::uint64_t i = 0; i < 10000; ++i) {
        peer.near->send(ipc::ReloadRequest{.cookie = i});
    }

    peer.io.run_for(20ms);

    EXPECT_EQ(peer.ended, "does not read what it is sent");
}

TEST(AsyncChannel, SaysNothingMoreOnceItIsClosed) {
    Peer peer({});
    peer.near->close();
    peer.far.close();

    peer.io.run_for(20ms);

    EXPECT_TRUE(peer.ended.empty());
}

}  // namespace
}  // namespace iommud::monitor
