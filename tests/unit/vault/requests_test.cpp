// The bounds on both sides; tests/integration/vault has the hostile frames.
#include "daemon/vault/requests.hpp"

#include <gtest/gtest.h>

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
    most.reserve = most.memlock = most.memory_max = std::uint64_t{1} << 62;
    most.maps = 65535;
    most.devices.clear();
    for (std::uint8_t bus = 0; bus < ipc::max_lease_devices; ++bus) {
        most.devices.push_back({0, bus, 0, 0});
    }
    most.no_reset_allowed = most.devices;
    most.record.resize(ipc::max_record);

    const auto least = read_with_sockets(a_grant(), 1);
    const auto greatest = read_with_sockets(most, 1);

    ASSERT_TRUE(least);
    EXPECT_EQ(std::get<ipc::GrantLease>(*least).devices, a_grant().devices);
    EXPECT_TRUE(greatest);
}

TEST(Requests, AGrantOneBeyondItsBoundsIsNot) {
    ipc::GrantLease memory = a_grant();
    memory.memory_max = (std::uint64_t{1} << 62) + 1;
    ipc::GrantLease maps = a_grant();
    maps.maps = 65536;
    ipc::GrantLease uid = a_grant();
    uid.account_uid = ~0U;

    ipc::GrantLease mode = a_grant();
    mode.mode = Mode::legacy;
    ipc::GrantLease slot = a_grant();
    slot.holder_slot = ipc::max_worker_slot;
    ipc::GrantLease token = a_grant();
    token.vf_token = "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f";
    ipc::GrantLease holder = a_grant();
    holder.holder_uid = ~0U;

    EXPECT_FALSE(read_with_sockets(token, 1));
    EXPECT_FALSE(read_with_sockets(mode, 1));
    EXPECT_FALSE(read_with_sockets(slot, 1));
    EXPECT_FALSE(read_with_sockets(holder, 1));
    EXPECT_FALSE(read_with_sockets(memory, 1));
    EXPECT_FALSE(read_with_sockets(maps, 1));
    EXPECT_FALSE(read_with_sockets(uid, 1));
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
