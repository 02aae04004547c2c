// The bounds on both sides; tests/integration/vault has the hostile frames.
#include "daemon/vault/requests.hpp"

#include <gtest/gtest.h>

#include "daemon/base/bounds.hpp"

namespace iommud::vault {
namespace {

ipc::GrantLease a_grant() {
    return {.lease = 1,
            .account_uid = 1000,
            .mode = Mode::managed,
            .reserve = 4096,
            .memlock = 4096,
            .memory_max = 4096,
            .maps = 1,
            .devices = {{0, 0, 4, 0}},
            .no_reset_allowed = {},
            .record = {std::byte{1}}};
}

template <class Message>
Result<Request> read_with_sockets(const Message& message, std::size_t sockets) {
    ipc::Packet packet;
    packet.bytes = ipc::encode(message);
    while (packet.fds.size() < sockets) {
        packet.fds.push_back(ipc::Channel::pair()->first.take());
    }
    return read_request(packet);
}

TEST(Requests, AGrantWithinItsBoundsIsRead) {
    ipc::GrantLease most = a_grant();
    most.reserve = most.memlock = most.memory_max = most_memory;
    most.maps = most_maps;
    most.devices.clear();
    for (std::uint8_t bus = 0; bus < most_lease_devices; ++bus) {
        most.devices.push_back({0, bus, 0, 0});
    }
    most.no_reset_allowed = most.devices;
    most.record.resize(ipc::max_record);

    const auto least = read_with_sockets(a_grant(), 1);
    const auto greatest = read_with_sockets(most, 1);

    ASSERT_TRUE(least);
    EXPECT_EQ(std::get<ipc::GrantLease>(*least).devices, a_grant().devices);
    EXPECT_TRUE(greatest);
    EXPECT_TRUE(within_bounds(a_grant()));
    EXPECT_TRUE(within_bounds(most));
}

template <class Change>
ipc::GrantLease changed(Change change) {
    ipc::GrantLease grant = a_grant();
    change(grant);
    return grant;
}

TEST(Requests, AGrantThatNoMonitorOfOursSendsIsNotRead) {
    EXPECT_FALSE(read_with_sockets(changed([](auto& grant) { grant.mode = Mode::legacy; }), 1));
    EXPECT_FALSE(read_with_sockets(changed([](auto& grant) { grant.holder_slot = ipc::max_worker_slot; }), 1));
    EXPECT_FALSE(read_with_sockets(changed([](auto& grant) { grant.holder_uid = ~0U; }), 1));
    EXPECT_FALSE(read_with_sockets(changed([](auto& grant) { grant.account_uid = ~0U; }), 1));
}

TEST(Requests, AGrantOneBeyondItsBoundsIsReadAndRefused) {
    for (const ipc::GrantLease& grant :
         {changed([](auto& grant) { grant.reserve = most_memory + 1; }),
          changed([](auto& grant) { grant.memlock = most_memory + 1; }),
          changed([](auto& grant) { grant.memory_max = most_memory + 1; }),
          changed([](auto& grant) { grant.maps = most_maps + 1; }), changed([](auto& grant) { grant.maps = 0; }),
          changed([](auto& grant) { grant.devices.clear(); }),
          changed([](auto& grant) { grant.devices.push_back(grant.devices[0]); }), changed([](auto& grant) {
              grant.no_reset_allowed = {{0, 9, 9, 0}};
          }),
          changed([](auto& grant) { grant.record.clear(); }),
          changed([](auto& grant) { grant.vf_token = "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f"; })}) {
        EXPECT_TRUE(read_with_sockets(grant, 1));
        EXPECT_FALSE(within_bounds(grant)) << testing::PrintToString(grant.maps);
    }
}

TEST(Requests, ALimitOrANameBeyondItsBoundsIsReadAndRefused) {
    EXPECT_TRUE(within_bounds(ipc::SetLimit{1000, most_memory, most_memory}));
    EXPECT_FALSE(within_bounds(ipc::SetLimit{1000, most_memory + 1, 0}));
    EXPECT_FALSE(within_bounds(ipc::SetLimit{1000, 0, most_memory + 1}));
    EXPECT_TRUE(within_bounds(ipc::Hold{std::string(longest_thing_name, 'x'), {}}));
    EXPECT_FALSE(within_bounds(ipc::Hold{std::string(longest_thing_name + 1, 'x'), {}}));
    EXPECT_FALSE(within_bounds(ipc::Hold{"", {}}));
}

TEST(Requests, ARefusalSaysWhatWasAskedAndWhereTheBoundStands) {
    EXPECT_EQ(within_bounds(changed([](auto& grant) { grant.maps = most_maps + 1; })).error().message,
              "32001 maps, the vault takes 1 to 32000");
}

TEST(Requests, EveryVerbWithoutDescriptorsIsRead) {
    EXPECT_TRUE(read_with_sockets(ipc::SetLimit{1000, 1, 1}, 0));
    EXPECT_TRUE(read_with_sockets(ipc::KillChild{ipc::ChildKind::keeper, 9}, 0));
    EXPECT_TRUE(read_with_sockets(ipc::Hold{"x", {}}, 0));
    EXPECT_TRUE(read_with_sockets(ipc::Unhold{"x"}, 0));
}

TEST(Requests, TheLastWorkerSlotIsReadAndTheNextIsNot) {
    EXPECT_TRUE(read_with_sockets(ipc::StartWorker{ipc::max_worker_slot - 1, ConnectionKind::system_bus}, 1));
    EXPECT_FALSE(read_with_sockets(ipc::StartWorker{ipc::max_worker_slot, ConnectionKind::system_bus}, 1));
}

TEST(Requests, AnAnswerOfTheVaultsIsNoRequest) {
    EXPECT_FALSE(read_with_sockets(ipc::LeaseEnded{1}, 0));
}

TEST(Requests, AnEmptyPacketIsNoRequest) {
    EXPECT_FALSE(read_request(ipc::Packet{}));
}

}  // namespace
}  // namespace iommud::vault
