// The kernel may not answer a keeper for ever: whoever holds another device on the same bus can keep the lock of the
// bus (hazard C37). Whoever waits for a lease is told after a while.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "daemon/ipc/keeper_messages.hpp"
#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

using ipc::SendResult;

constexpr const char* one_second = "--grant-timeout=1";

class GrantTimeout : public testing::Test {
  protected:
    static void allow_both(const MonitorProcess& monitor) {
        monitor.write_policy("20.json", R"({"version": 1, "rules": [{"id": "more", "effect": "allow", "devices": [)"
                                        R"({"class": "00"}], "subjects": [{"uids": ")" +
                                            std::to_string(::getuid()) + R"("}]}]})");
        ASSERT_EQ(monitor.reload(monitor.connect(true)), "");
    }
};

TEST_F(GrantTimeout, OfAKeeperThatDoesNotComeBackIsSaidAndItIsKilled) {
    const MonitorProcess monitor({}, {}, one_second);
    const Served client = monitor.connect();
    const auto grant = ask_for_a_lease(monitor, client);
    ASSERT_TRUE(grant);
    const ipc::Channel keeper = give_a_keeper(monitor, grant->lease);

    const auto refusal = next_answer<ipc::RequestFailed>(client.worker);

    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->code, ErrorCode::device_busy);
    EXPECT_THAT(refusal->message, testing::HasSubstr("within 1 s"));
    const auto killed = monitor.verb<ipc::KillChild>();
    ASSERT_TRUE(killed);
    EXPECT_EQ(killed->id, grant->lease);
}

TEST_F(GrantTimeout, OfAVaultsChildThatDoesNotComeBackIsSaid) {
    const MonitorProcess monitor({}, {}, one_second);
    const Served client = monitor.connect();
    ASSERT_TRUE(ask_for_a_lease(monitor, client));

    const auto refusal = next_answer<ipc::RequestFailed>(client.worker);

    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->code, ErrorCode::device_busy);
    EXPECT_TRUE(monitor.verb<ipc::KillChild>());
}

TEST_F(GrantTimeout, DoesNotTouchALeaseThatWasGiven) {
    const MonitorProcess monitor({}, {}, one_second);
    const Served client = monitor.connect();
    const auto grant = ask_for_a_lease(monitor, client);
    ASSERT_TRUE(grant);
    const ipc::Channel keeper = give_a_keeper(monitor, grant->lease);
    ASSERT_EQ(keeper.send(ipc::KeeperReport{.state = LeaseState::active}), SendResult::sent);

    // An addition that is not answered is given up a second after it was asked for, and the first one would have been
    // by then. The keeper is not killed: its holder has the lease.
    allow_both(monitor);
    ASSERT_EQ(client.worker.send(
                  ipc::AddRequest{.cookie = 9, .lease = grant->lease, .devices = {*PciAddress::parse("0000:00:06.0")}}),
              SendResult::sent);
    const auto refusal = next_answer<ipc::RequestFailed>(client.worker);
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->cookie, 9U);
    EXPECT_EQ(refusal->code, ErrorCode::device_busy);
    ipc::Packet packet;
    while (monitor.vault().receive(packet) == ipc::ReceiveResult::packet) {
        EXPECT_FALSE(ipc::decode<ipc::KillChild>(packet.bytes));
    }
}

}  // namespace
}  // namespace iommud::test
