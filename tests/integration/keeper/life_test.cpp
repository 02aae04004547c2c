// A lease's life, seen by the vault, the monitor, the worker and the client.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/integration/keeper/keeper_process.hpp"

namespace iommud::test {
namespace {

constexpr std::uint64_t page = 4096;

TEST(KeeperLife, TheWorkerGetsTheLeaseAndItsDevices) {
    KeeperProcess keeper;

    const auto delivery = keeper.delivered();

    ASSERT_TRUE(delivery.has_value());
    EXPECT_EQ(delivery->message.lease, 7U);
    EXPECT_EQ(delivery->message.names, (std::vector<std::string>{"lease", "device:0000:00:04.0"}));
    EXPECT_EQ(delivery->fds.size(), 2U);
    EXPECT_TRUE(keeper.report_of(LeaseState::active).has_value());
}

TEST(KeeperLife, MapsAndUnmaps) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(4 * page);

    const iommud_reply mapped = client.map(memory.borrow(), 4 * page);
    const iommud_query_reply after_map = client.query();
    const iommud_reply unmapped = client.unmap(mapped.value);
    const iommud_query_reply after_unmap = client.query();

    EXPECT_EQ(mapped.error, IOMMUD_ERROR_NONE);
    EXPECT_NE(mapped.value, 0U);
    EXPECT_EQ(after_map.memory_mapped, 4 * page);
    EXPECT_EQ(after_map.maps, 1U);
    EXPECT_EQ(unmapped.error, IOMMUD_ERROR_NONE);
    EXPECT_EQ(unmapped.value, 4 * page);
    EXPECT_EQ(after_unmap.memory_mapped, 0U);
}

TEST(KeeperLife, EndsWhenTheLastChannelIsClosed) {
    KeeperProcess keeper;
    Client first = keeper.client();
    Client second = first.dup();

    first.close();
    const iommud_query_reply still_there = second.query();
    second.close();

    EXPECT_EQ(still_there.channels, 1U);
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperLife, EndsWhenTheWorkerDiesWithTheDeliveryUnread) {
    KeeperProcess keeper;
    ASSERT_TRUE(keeper.report_of(LeaseState::active).has_value());

    keeper.lose_worker();

    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperLife, AGrantThatNobodyWaitsForIsTakenBackAndSaysSo) {
    KeeperProcess keeper({.failpoint = "deliver:sleep=1"});

    keeper.lose_worker();

    EXPECT_TRUE(keeper.next<ipc::KeeperFailed>().has_value());
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperLife, ReleaseIsAnsweredWhenAllIsUnmappedAndTheOthersHearRevoked) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const Client other = client.dup();

    const iommud_reply released = client.call({IOMMUD_RELEASE, 0, 99, 0, 0, 0});

    EXPECT_EQ(released.cookie, 99U);
    EXPECT_EQ(released.error, IOMMUD_ERROR_NONE);
    EXPECT_EQ(other.receive()->kind, IOMMUD_REVOKED);
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperLife, EndsWhenTheVaultDies) {
    KeeperProcess keeper;
    const Client client = keeper.client();

    keeper.cut_lifeline();

    EXPECT_EQ(client.receive()->kind, IOMMUD_REVOKED);
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperLife, EndsWhenAskedToBySignal) {
    KeeperProcess keeper;
    const Client client = keeper.client();

    ASSERT_EQ(::kill(keeper.pid(), SIGTERM), 0);

    EXPECT_EQ(client.receive()->kind, IOMMUD_REVOKED);
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperLife, TakeBackWithGraceAsksFirst) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(page);

    ASSERT_EQ(keeper.monitor().send(ipc::TakeBack{200000, "maintenance"}), ipc::SendResult::sent);
    const auto asked = client.receive();
    const iommud_reply in_grace = client.map(memory.borrow(), page);
    const auto revoked = client.receive();

    EXPECT_EQ(asked->kind, IOMMUD_RELEASE_REQUESTED);
    EXPECT_GT(asked->value, 0U);
    EXPECT_EQ(in_grace.error, IOMMUD_ERROR_NONE);
    EXPECT_EQ(revoked->kind, IOMMUD_REVOKED);
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperLife, WhatIsAskedWhileTheLeaseEndsIsAnsweredLeaseRevoked) {
    KeeperProcess keeper({.failpoint = "destroyed:sleep=1"});
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(page);
    ASSERT_EQ(keeper.monitor().send(ipc::TakeBack{}), ipc::SendResult::sent);
    ASSERT_TRUE(keeper.report_of(LeaseState::releasing).has_value());

    client.send({IOMMUD_MAP, IOMMUD_MAP_READ, 5, 0, page, 0}, memory.borrow());

    EXPECT_EQ(client.receive()->kind, IOMMUD_REVOKED);
    EXPECT_EQ(client.receive()->error, IOMMUD_ERROR_LEASE_REVOKED);
    EXPECT_TRUE(client.hangs_up());
}

TEST(KeeperLife, AddDeliversTheDeviceAlone) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    auto [worker, delivery] = ipc::Channel::pair().value();
    const BorrowedFd fds[] = {delivery.fd()};

    ASSERT_EQ(keeper.monitor().send(ipc::KeeperAdd{{*PciAddress::parse("0000:00:06.0")}, {}}, fds),
              ipc::SendResult::sent);
    static_cast<void>(client.query());
    ipc::Packet packet;
    while (worker.receive(packet) == ipc::ReceiveResult::empty) {
    }

    EXPECT_EQ(ipc::decode<ipc::Delivery>(packet.bytes)->names, std::vector<std::string>{"device:0000:00:06.0"});
    EXPECT_EQ(packet.fds.size(), 1U);
}

TEST(KeeperLife, ReportsWhatIsMappedToTheMonitor) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(3 * page);
    ASSERT_EQ(client.map(memory.borrow(), 3 * page).error, IOMMUD_ERROR_NONE);

    std::uint64_t mapped = 0;
    while (mapped == 0) {
        mapped = keeper.next<ipc::KeeperReport>().value().mapped;
    }

    EXPECT_EQ(mapped, 3 * page);
}

TEST(KeeperLife, AReportThatDidNotFitIsSentAgain) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(page);
    for (int i = 0; i < 2000; ++i) {
        static_cast<void>(keeper.monitor().send(ipc::ReportRequest{}));
    }
    ASSERT_EQ(client.map(memory.borrow(), page).error, IOMMUD_ERROR_NONE);

    std::uint64_t mapped = 0;
    while (mapped == 0) {
        mapped = keeper.next<ipc::KeeperReport>().value().mapped;
    }

    EXPECT_EQ(mapped, page);
}

TEST(KeeperLife, ASuccessorOfASimulatedKeeperHasNothingToTakeBack) {
    ipc::KeeperStart start = KeeperProcess::start_message({});
    start.role = ipc::KeeperRole::successor;

    EXPECT_EQ(exit_code_of_keeper_started_with(ipc::encode(start), 0), 0);
}

TEST(KeeperLife, AStartThatDoesNotFitItsDescriptorsIsRefused) {
    EXPECT_EQ(exit_code_of_keeper_started_with(ipc::encode(KeeperProcess::start_message({})), 3), 1);
}

TEST(KeeperLife, AFirstFrameThatIsNoStartIsRefused) {
    EXPECT_EQ(exit_code_of_keeper_started_with(ipc::encode(ipc::ReportRequest{}), 1), 1);
}

TEST(KeeperLife, RubbishOnTheControlChannelEndsTheLease) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    ipc::Bytes frame = ipc::encode(ipc::TakeBack{1000000, "x"});
    frame.pop_back();

    ASSERT_EQ(keeper.monitor().send_bytes(frame), ipc::SendResult::sent);

    EXPECT_TRUE(client.hangs_up());
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperLife, AFrameOfANewerMonitorIsPassedOver) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    ipc::Bytes frame = ipc::encode(ipc::ReportRequest{});
    frame[0] = std::byte{250};

    ASSERT_EQ(keeper.monitor().send_bytes(frame), ipc::SendResult::sent);

    EXPECT_EQ(client.query().error, 0U);
}

}  // namespace
}  // namespace iommud::test
