// When a worker ends, what it keeps, and what it may not do.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "daemon/base/worker_bounds.hpp"
#include "daemon/worker/names.hpp"
#include "tests/integration/worker/fake_monitor.hpp"

namespace iommud::worker::test {
namespace {

using testing::HasSubstr;

class LifetimeTest : public WorkerTest {
  protected:
    void begin_and_serve(ConnectionKind kind = ConnectionKind::client) {
        begin(kind);
        ASSERT_EQ(client->property(manager_path, manager_interface, "Version"), "0.1.0");
    }
    void acquire(LeaseId lease, const std::vector<std::string>& names) {
        const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
        const auto request = next<ipc::AcquireRequest>();
        deliver(request.cookie, lease, names);
        ASSERT_EQ(client->reply(call).error(), "");
    }
};

TEST_F(LifetimeTest, EndsQuietlyWithItsClient) {
    begin_and_serve();

    client.reset();

    EXPECT_EQ(ending(), "exited 0");
}

TEST_F(LifetimeTest, EndsQuietlyWithItsMonitor) {
    begin_and_serve();

    monitor.close();

    EXPECT_EQ(ending(), "exited 0");
    EXPECT_TRUE(client->gone_in_time());
}

TEST_F(LifetimeTest, EndsQuietlyWhenTheMonitorGoesBeforeItBegins) {
    spawn();

    monitor.close();

    EXPECT_EQ(ending(), "exited 0");
}

TEST_F(LifetimeTest, ServesNobodyBeforeTheViewIsComplete) {
    spawn();
    tell(ipc::WorkerStart{.kind = ConnectionKind::client, .uid = 1000});
    client = std::make_unique<Client>(std::move(connection));
    const auto call = client->start(manager_path, "org.freedesktop.DBus.Peer", "Ping");

    tell(ipc::ManagerView{});
    EXPECT_TRUE(client->pump(std::chrono::milliseconds(50)));
    EXPECT_FALSE(sd_bus_is_ready(client->bus()) > 0);
    tell(ipc::ViewComplete{});

    EXPECT_EQ(client->reply(call).error(), "");
}

TEST_F(LifetimeTest, EndsWhenTheFirstFrameIsNoWorkerStart) {
    spawn();

    tell(ipc::ManagerView{});

    EXPECT_EQ(ending(), "exited 1");
}

TEST_F(LifetimeTest, EndsWhenTheViewDoesNotBeginWithTheManager) {
    spawn();

    tell(ipc::WorkerStart{});
    tell(ipc::ViewComplete{});

    EXPECT_EQ(ending(), "exited 1");
}

TEST_F(LifetimeTest, EndsWhenAFrameIsCutShort) {
    begin_and_serve();
    ipc::Bytes frame = ipc::encode(lease_view(9, LeaseState::active));
    frame.pop_back();

    ASSERT_EQ(monitor.send_bytes(frame), ipc::SendResult::sent);

    EXPECT_EQ(ending(), "exited 1");
}

TEST_F(LifetimeTest, EndsWhenAFrameIsTooLong) {
    begin_and_serve();
    const ipc::Bytes frame(ipc::max_frame + 1);

    ASSERT_EQ(::send(monitor.fd().get(), frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));

    EXPECT_EQ(ending(), "exited 1");
}

TEST_F(LifetimeTest, EndsWhenAFrameIsOfAnotherChannel) {
    begin_and_serve();

    tell(ipc::TakeBack{});

    EXPECT_EQ(ending(), "exited 1");
}

TEST_F(LifetimeTest, EndsWhenARequestIsAnsweredThatWasNeverMade) {
    begin_and_serve();

    tell(ipc::RequestDone{.cookie = 77});

    EXPECT_EQ(ending(), "exited 1");
}

TEST_F(LifetimeTest, EndsWhenADescriptorComesWithAFrameThatHasNone) {
    begin_and_serve();

    tell(ipc::LeaseGone{.lease = 1}, {BorrowedFd(STDIN_FILENO)});

    EXPECT_EQ(ending(), "exited 1");
}

TEST_F(LifetimeTest, EndsWhenAnAnswerIsOfAnotherKind) {
    begin_and_serve();
    static_cast<void>(client->start(manager_path, manager_interface, "Acquire", write_acquire));
    const auto request = next<ipc::AcquireRequest>();

    tell(ipc::RequestDone{.cookie = request.cookie});

    EXPECT_EQ(ending(), "exited 1");
}

TEST_F(LifetimeTest, KeepsNoDescriptorOfAHundredLeases) {
    begin_and_serve();
    if (::geteuid() != 0) {
        GTEST_SKIP() << "only root sees the descriptors of an undumpable process";
    }
    const auto before = worker_fds();

    for (LeaseId lease = 1; lease <= 100; ++lease) {
        acquire(lease, {"lease", "device:0000:00:04.0", "iommu"});
    }
    // What it sent last it closes before it answers again.
    EXPECT_EQ(client->property(manager_path, manager_interface, "Version"), "0.1.0");

    EXPECT_EQ(worker_fds(), before);
}

TEST_F(LifetimeTest, LetsGoOfADeliveredDescriptorWithTheReply) {
    begin_and_serve();
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd mine(ends[0]);
    UniqueFd given(ends[1]);

    {
        const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
        const auto request = next<ipc::AcquireRequest>();
        auto [keeper, end] = ipc::Channel::pair().value();
        tell(ipc::DeliveryComing{.cookie = request.cookie, .lease = lease_view(1, LeaseState::granting)}, {end.fd()});
        const BorrowedFd fds[] = {given.borrow()};
        ASSERT_EQ(keeper.send(ipc::Delivery{.lease = 1, .names = {"lease"}}, fds), ipc::SendResult::sent);
        ASSERT_EQ(client->reply(call).error(), "");
        given.reset();
    }

    pollfd hang_up{mine.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&hang_up, 1, 5'000), 1);
    EXPECT_NE(hang_up.revents & POLLHUP, 0);
}

TEST_F(LifetimeTest, IsConfinedWhenItServes) {
    begin_and_serve();

    const std::string status = worker_file("status");

    EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
#ifndef IOMMUD_SANITIZED
    EXPECT_THAT(status, HasSubstr("Seccomp:\t2"));
    EXPECT_THAT(worker_file("limits"),
                testing::ContainsRegex(fmt::format("Max data size +{0} +{0}", most_worker_data)));
#endif
}

}  // namespace
}  // namespace iommud::worker::test
