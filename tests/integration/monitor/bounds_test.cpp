// A monitor whose vault holds leases beyond the bounds of today serves.
#include "daemon/base/bounds.hpp"

#include <gtest/gtest.h>

#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

TEST(LeasesBeyondTheBounds, AreKeptByAMonitorThatLives) {
    std::vector<LeaseRecord> held;
    for (const LeaseId id : {LeaseId{1}, LeaseId{2}, LeaseId{3}}) {
        held.push_back(held_lease(Mode::managed));
        held.back().id = id;
        held.back().memory = std::uint64_t{1} << 63;
        held.back().devices = {*PciAddress::parse("0000:00:0" + std::to_string(id) + ".0")};
    }
    const MonitorProcess monitor(held);

    const auto limit = monitor.verb<ipc::SetLimit>();
    ASSERT_TRUE(limit);
    EXPECT_LE(limit->memlock, most_memory);
    EXPECT_LE(limit->memory_max, most_memory);
    const Served client = monitor.connect();
    ASSERT_EQ(client.worker.send(ipc::AccountsRequest{.cookie = 9}), ipc::SendResult::sent);
    const auto accounts = ipc::decode<ipc::AccountsEntries>(next_reply(client).bytes);
    ASSERT_TRUE(accounts);
    ASSERT_EQ(accounts->accounts.size(), 1U);
    EXPECT_EQ(accounts->accounts[0].memory_reserved, 3 * most_memory);
    EXPECT_TRUE(monitor.alive());
}

}  // namespace
}  // namespace iommud::test
