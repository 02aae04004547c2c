// What a connection is told of a lease that maps all the time.
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <thread>

#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

ipc::KeeperReport mapped(std::uint64_t bytes) {
    return {.state = LeaseState::active, .mapped = bytes, .maps = 1};
}

TEST(Views, OfManyMapsTellTheLastAndNothingOfTheDevices) {
    using Clock = std::chrono::steady_clock;
    constexpr std::uint64_t last = 200;
    const MonitorProcess monitor({held_lease(Mode::managed)});
    const Served client = monitor.connect();
    ASSERT_EQ(monitor.keeper_says(0, mapped(1)), ipc::SendResult::sent);  // the first says that it is active, too
    auto view = next_answer<ipc::LeaseView>(client.worker);
    while (view && view->mapped != 1) {
        view = next_answer<ipc::LeaseView>(client.worker);
    }
    ASSERT_TRUE(view);
    pollfd more{client.worker.fd().get(), POLLIN, 0};
    while (::poll(&more, 1, 300) > 0) {
        static_cast<void>(next_packet(client.worker));
    }

    const auto start = Clock::now();
    for (std::uint64_t bytes = 2; bytes <= last; ++bytes) {
        ASSERT_EQ(monitor.keeper_says(0, mapped(bytes)), ipc::SendResult::sent);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));  // each is read by itself
    }
    std::size_t views = 0;
    do {
        const ipc::Packet packet = next_packet(client.worker);
        ASSERT_FALSE(packet.bytes.empty());
        EXPECT_FALSE(ipc::decode<ipc::DeviceView>(packet.bytes));
        view = ipc::decode<ipc::LeaseView>(packet.bytes);
        views += view ? 1 : 0;
    } while (!view || view->mapped != last);

    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start).count();
    EXPECT_LE(views, static_cast<std::size_t>(seconds) + 2);
}

// The keeper of most leases is there sooner; this one never comes.
TEST(Views, TellOfALeaseThatTakesLongToBeGranted) {
    const MonitorProcess monitor;
    const Served client = monitor.connect();
    const Served other = monitor.connect();
    ipc::AcquireRequest request;
    request.devices = held_lease(Mode::managed).devices;
    request.memory = 4096;

    ASSERT_EQ(client.worker.send(request), ipc::SendResult::sent);

    const auto lease = next_answer<ipc::LeaseView>(other.worker);
    ASSERT_TRUE(lease);
    EXPECT_EQ(lease->state, LeaseState::granting);
    const auto device = next_answer<ipc::DeviceView>(other.worker);
    ASSERT_TRUE(device);
    EXPECT_EQ(device->lease, lease->record.id);
}

}  // namespace
}  // namespace iommud::test
