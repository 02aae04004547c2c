#include "daemon/worker/replica.hpp"

#include <gmock/gmock.h>

namespace iommud::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StrEq;

const PciAddress address{.domain = 0, .bus = 0, .slot = 4, .function = 0};

ipc::DeviceView device(DeviceState state) {
    ipc::DeviceView view;
    view.address = address;
    view.state = state;
    return view;
}

ipc::LeaseView lease(LeaseState state, std::uint64_t mapped = 0) {
    ipc::LeaseView view;
    view.record.id = 5;
    view.state = state;
    view.mapped = mapped;
    return view;
}

TEST(Replica, ANewObjectIsAdded) {
    Replica replica;

    const Change change = replica.apply(device(DeviceState::available));

    EXPECT_TRUE(change.added);
    ASSERT_NE(replica.device(address), nullptr);
    EXPECT_EQ(replica.device(address)->state, DeviceState::available);
}

TEST(Replica, OnlyWhatDiffersIsChanged) {
    Replica replica;
    static_cast<void>(replica.apply(device(DeviceState::available)));
    ipc::DeviceView next = device(DeviceState::leased);
    next.lease = 5;

    const Change change = replica.apply(next);

    EXPECT_FALSE(change.added);
    EXPECT_THAT(change.properties, ElementsAre(StrEq("State"), StrEq("Lease")));
}

TEST(Replica, TheSameAgainIsNoChange) {
    Replica replica;
    static_cast<void>(replica.apply(device(DeviceState::available)));

    EXPECT_TRUE(replica.apply(device(DeviceState::available)).none());
}

TEST(Replica, TheManagersChangesHaveTheirPropertiesNames) {
    Replica replica;

    const Change change = replica.apply(
        ipc::ManagerView{.version = "1", .kernel = {}, .features = {}, .policy_generation = 2, .degraded = {"policy"}});

    EXPECT_THAT(change.properties, ElementsAre(StrEq("Version"), StrEq("PolicyGeneration"), StrEq("Degraded")));
    EXPECT_EQ(replica.manager().policy_generation, 2U);
}

TEST(Replica, ALeasesDevicesAreAChangeAndItsMappedBytesAreNot) {
    Replica replica;
    static_cast<void>(replica.apply(lease(LeaseState::active)));
    ipc::LeaseView next = lease(LeaseState::active, 4096);
    next.record.devices = {address};

    EXPECT_THAT(replica.apply(next).properties, ElementsAre(StrEq("Devices")));
    EXPECT_EQ(replica.lease(5)->mapped, 4096U);
}

TEST(Replica, ADeliveredLeaseIsActiveBeforeTheMonitorSaysSo) {
    Replica replica;
    static_cast<void>(replica.apply(lease(LeaseState::granting)));

    EXPECT_THAT(replica.delivered(5, lease(LeaseState::granting)).lease.properties, ElementsAre(StrEq("State")));
    EXPECT_EQ(replica.lease(5)->state, LeaseState::active);
}

TEST(Replica, AnEarlierViewDoesNotTakeADeliveryBack) {
    Replica replica;
    static_cast<void>(replica.apply(lease(LeaseState::granting)));
    static_cast<void>(replica.delivered(5, std::nullopt));

    EXPECT_THAT(replica.apply(lease(LeaseState::granting)).properties, IsEmpty());
    EXPECT_EQ(replica.lease(5)->state, LeaseState::active);
}

TEST(Replica, ADeliveryOfALeaseThatIsEndingOrGoneChangesNothing) {
    Replica replica;
    static_cast<void>(replica.apply(lease(LeaseState::releasing)));

    EXPECT_TRUE(replica.delivered(5, lease(LeaseState::granting)).lease.none());
    EXPECT_TRUE(replica.delivered(6, std::nullopt).lease.none());
    EXPECT_EQ(replica.lease(5)->state, LeaseState::releasing);
    EXPECT_EQ(replica.lease(6), nullptr);
}

TEST(Replica, ADeliveryMakesKnownALeaseOfWhichNoViewHasCome) {
    Replica replica;
    static_cast<void>(replica.apply(device(DeviceState::available)));
    ipc::LeaseView announced = lease(LeaseState::granting);
    announced.record.devices = {address};

    const Delivered delivered = replica.delivered(5, announced);

    EXPECT_TRUE(delivered.lease.added);
    EXPECT_THAT(delivered.devices, ElementsAre(address));
    EXPECT_EQ(replica.lease(5)->state, LeaseState::active);
    EXPECT_EQ(replica.device(address)->state, DeviceState::leased);
    EXPECT_EQ(replica.device(address)->lease, 5U);
}

TEST(Replica, WhatIsForgottenIsGoneAndMayComeAgain) {
    Replica replica;
    static_cast<void>(replica.apply(device(DeviceState::available)));
    static_cast<void>(replica.apply(lease(LeaseState::active)));

    replica.forget(address);
    replica.forget(LeaseId{5});

    EXPECT_EQ(replica.device(address), nullptr);
    EXPECT_EQ(replica.lease(5), nullptr);
    EXPECT_TRUE(replica.apply(device(DeviceState::available)).added);
}

}  // namespace
}  // namespace iommud::worker
