// A direct lease's life: what is handed out, and how it ends.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>

#include "tests/integration/keeper/keeper_process.hpp"
#include "tests/integration/lingering.hpp"

namespace iommud::test {
namespace {

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t long_grace = 600'000'000;
constexpr int left = 3;  // iommud::keeper::ExitCode::left

KeeperOptions direct() {
    return {.mode = Mode::direct};
}

TEST(KeeperDirect, HandsOutTheContextBeforeTheDevices) {
    KeeperProcess keeper(direct());

    const auto delivery = keeper.delivered();

    ASSERT_TRUE(delivery.has_value());
    EXPECT_EQ(delivery->message.names, (std::vector<std::string>{"lease", "iommu", "device:0000:00:04.0"}));
    EXPECT_EQ(delivery->fds.size(), 3U);
    EXPECT_TRUE(keeper.report_of(LeaseState::active).has_value());
}

TEST(KeeperDirect, DoesNotMapAndKeepsTheLease) {
    KeeperProcess keeper(direct());
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(page);

    EXPECT_EQ(client.map(memory.borrow(), page).error, IOMMUD_ERROR_UNSUPPORTED_MODE);
    EXPECT_EQ(client.unmap(page).error, IOMMUD_ERROR_UNSUPPORTED_MODE);
    EXPECT_EQ(client.query().channels, 1U);
}

TEST(KeeperDirect, EndsWithItsLastChannel) {
    KeeperProcess keeper(direct());
    Client client = keeper.client();

    client.close();

    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperDirect, ARevokedHolderIsToBeKilled) {
    KeeperProcess keeper(direct());
    const Client client = keeper.client();

    ASSERT_EQ(keeper.monitor().send(ipc::TakeBack{.grace_usec = 0, .reason = "x", .kill_holder = true}),
              ipc::SendResult::sent);

    EXPECT_EQ(keeper.exit_code(), left);
    EXPECT_EQ(keeper.words(), "R");
    EXPECT_TRUE(client.hangs_up());
}

TEST(KeeperDirect, AHolderThatIsAskedAndDoesNotLetGoIsToBeKilled) {
    KeeperProcess keeper(direct());
    const Client client = keeper.client();

    ASSERT_EQ(keeper.monitor().send(ipc::TakeBack{.grace_usec = 1000, .reason = "x", .kill_holder = true}),
              ipc::SendResult::sent);

    EXPECT_EQ(keeper.exit_code(), left);
    EXPECT_EQ(keeper.words(), "R");
    EXPECT_TRUE(client.hangs_up());
}

TEST(KeeperDirect, AHolderThatLetsGoInTimeIsNot) {
    KeeperProcess keeper(direct());
    Client client = keeper.client();
    ASSERT_EQ(keeper.monitor().send(ipc::TakeBack{.grace_usec = long_grace, .reason = "x", .kill_holder = true}),
              ipc::SendResult::sent);
    ASSERT_EQ(client.receive().value_or(iommud_reply{}).kind, static_cast<unsigned>(IOMMUD_RELEASE_REQUESTED));

    client.close();

    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(KeeperDirect, WhatItMightWaitForItLeavesToASuccessor) {
    KeeperProcess keeper(direct());
    Client client = keeper.client();
    const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(client.map(socket.borrow(), page).error, IOMMUD_ERROR_UNSUPPORTED_MODE);

    client.close();

    EXPECT_EQ(keeper.exit_code(), left);
    EXPECT_EQ(keeper.words(), "EL");
}

// One packet looks like the end of the channel and brings what a close would wait for: nobody waits, and somebody
// unmaps.
TEST(KeeperDirect, WhatComesWithTheLastPacketItLeavesToASuccessorToo) {
    KeeperProcess keeper(direct());
    Client client = keeper.client();
    Lingering waiting = lingering();
    const iommud_request request{};
    ::kill(keeper.pid(), SIGSTOP);
    client.send_bytes(&request, 0, {waiting.socket.borrow()});
    waiting.socket.reset();
    client.close();

    ::kill(keeper.pid(), SIGCONT);

    EXPECT_EQ(keeper.exit_code(), left);
    EXPECT_EQ(keeper.words(), "EL");
    waiting.peer.reset();
}

// Rubbish that is read when the lease ends already.
TEST(KeeperDirect, WhatComesWithRubbishItLeavesToASuccessorToo) {
    KeeperProcess keeper(direct());
    const Client client = keeper.client();
    Lingering waiting = lingering();
    ::kill(keeper.pid(), SIGSTOP);
    ASSERT_EQ(keeper.monitor().send(ipc::TakeBack{.grace_usec = 0, .reason = "released", .kill_holder = false}),
              ipc::SendResult::sent);
    client.send_bytes("x", 1, {waiting.socket.borrow()});
    waiting.socket.reset();

    ::kill(keeper.pid(), SIGCONT);

    EXPECT_EQ(keeper.exit_code(), left);
    EXPECT_EQ(keeper.words(), "EL");
    waiting.peer.reset();
}

TEST(KeeperDirect, AReleaseKillsNobody) {
    KeeperProcess keeper(direct());
    const Client client = keeper.client();

    ASSERT_EQ(keeper.monitor().send(ipc::TakeBack{.grace_usec = 0, .reason = "released", .kill_holder = false}),
              ipc::SendResult::sent);

    EXPECT_EQ(keeper.exit_code(), left) << "its client has the channel still, and may have it wait";
    EXPECT_EQ(keeper.words(), "EL");
    EXPECT_TRUE(client.hangs_up());
}

TEST(KeeperDirect, TheHolderOfAManagedLeaseIsNeverToBeKilled) {
    KeeperProcess keeper;
    const Client client = keeper.client();

    ASSERT_EQ(keeper.monitor().send(ipc::TakeBack{.grace_usec = 0, .reason = "x", .kill_holder = true}),
              ipc::SendResult::sent);

    EXPECT_EQ(keeper.exit_code(), 0);
    EXPECT_EQ(keeper.words(), "E");
    EXPECT_TRUE(client.hangs_up());
}

}  // namespace
}  // namespace iommud::test
