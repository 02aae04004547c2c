// Who had a device last is noted of every device, in the vault, before it is given: whether a reset works is known only
// when the next holder's keeper binds it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "daemon/ipc/codec.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

using ipc::SendResult;
using testing::ElementsAre;
using testing::IsEmpty;

const PciAddress edu = *PciAddress::parse("0000:00:04.0");
constexpr const char* name = "tenant/0000:00:04.0";

struct Tenant {  // as the monitor writes it
    std::string endpoint;
    std::uint32_t holder = ~0U;
    auto fields() { return std::tie(endpoint, holder); }
};

ipc::HeldThing had_by(std::uint32_t holder) {
    return {.name = name, .value = ipc::encode_value(Tenant{{}, holder})};
}

class Tenancy : public testing::Test {
  protected:
    // Who the vault is told to hold as the device's last holder, next.
    [[nodiscard]] static std::optional<std::uint32_t> held(const MonitorProcess& monitor) {
        const auto hold = monitor.verb<ipc::Hold>();
        const auto tenant = hold && hold->name == name ? ipc::decode_value<Tenant>(hold->value) : std::nullopt;
        return tenant ? std::optional(tenant->holder) : std::nullopt;
    }
};

TEST_F(Tenancy, IsNotKnownUntilTheHolderHasTheDevice) {
    const MonitorProcess monitor;
    const Served client = monitor.connect();
    ipc::AcquireRequest request;
    request.devices = {edu};
    request.memory = 4096;
    ASSERT_EQ(client.worker.send(request), SendResult::sent);

    EXPECT_EQ(held(monitor), ~0U);
    const auto grant = monitor.verb<ipc::GrantLease>();
    ASSERT_TRUE(grant);
    EXPECT_THAT(grant->no_reset_allowed, ElementsAre(edu)) << "nobody had it";
    const ipc::Channel keeper = give_a_keeper(monitor, grant->lease);
    ASSERT_EQ(keeper.send(ipc::KeeperReport{.state = LeaseState::active}), SendResult::sent);
    EXPECT_EQ(held(monitor), ::getuid());
}

TEST_F(Tenancy, IsAsBeforeWhenTheVaultCouldNotGiveTheDevice) {
    const MonitorProcess monitor;
    const Served client = monitor.connect();
    const auto grant = ask_for_a_lease(monitor, client);
    ASSERT_TRUE(grant);

    ASSERT_EQ(monitor.vault().send(ipc::GrantResult{
                  .lease = grant->lease, .granted = false, .code = ErrorCode::memory_limit, .message = "no"}),
              SendResult::sent);

    const auto unhold = monitor.verb<ipc::Unhold>();
    ASSERT_TRUE(unhold);
    EXPECT_EQ(unhold->name, name);
}

TEST_F(Tenancy, StaysUnknownWhenAProgramOutsideHasTheDevice) {
    const MonitorProcess monitor;
    const Served client = monitor.connect();
    const auto first = ask_for_a_lease(monitor, client);
    ASSERT_TRUE(first);
    const ipc::Channel keeper = give_a_keeper(monitor, first->lease);

    ASSERT_EQ(keeper.send(ipc::KeeperFailed{.code = ErrorCode::device_busy, .message = "busy"}), SendResult::sent);
    ASSERT_TRUE(next_answer<ipc::RequestFailed>(client.worker));
    ASSERT_EQ(monitor.vault().send(ipc::LeaseEnded{.lease = first->lease}), SendResult::sent);
    ASSERT_TRUE(next_answer<ipc::LeaseGone>(client.worker));

    const auto second = ask_for_a_lease(monitor, client);
    ASSERT_TRUE(second);
    EXPECT_THAT(second->no_reset_allowed, IsEmpty());
}

TEST_F(Tenancy, OfSomebodyElseAsksForAReset) {
    const MonitorProcess monitor({}, {had_by(::getuid() + 1)});
    const Served client = monitor.connect();

    const auto grant = ask_for_a_lease(monitor, client);

    ASSERT_TRUE(grant);
    EXPECT_THAT(grant->no_reset_allowed, IsEmpty());
}

TEST_F(Tenancy, OfOnesOwnDoesNot) {
    const MonitorProcess monitor({}, {had_by(::getuid())});
    const Served client = monitor.connect();

    const auto grant = ask_for_a_lease(monitor, client);

    ASSERT_TRUE(grant);
    EXPECT_THAT(grant->no_reset_allowed, ElementsAre(edu));
}

}  // namespace
}  // namespace iommud::test
