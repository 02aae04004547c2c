// What a hostile client does on its lease channel harms its own lease only (hazards H4, H8).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <vector>

#include "tests/integration/keeper/keeper_process.hpp"
#include "tests/integration/lingering.hpp"

namespace iommud::test {
namespace {

constexpr std::uint64_t page = 4096;

TEST(HostileClient, TheLimitIsExactToThePage) {
    KeeperProcess keeper({.reserve = 8 * page});
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(9 * page);

    EXPECT_EQ(client.map(memory.borrow(), 5 * page).error, IOMMUD_ERROR_NONE);
    EXPECT_EQ(client.map(memory.borrow(), 3 * page).error, IOMMUD_ERROR_NONE);
    const iommud_reply above = client.map(memory.borrow(), page);

    EXPECT_EQ(above.error, IOMMUD_ERROR_MEMORY_LIMIT);
    EXPECT_EQ(above.value, 0U);
}

TEST(HostileClient, AMapAboveTheLimitIsToldWhatIsLeft) {
    KeeperProcess keeper({.reserve = 8 * page});
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(9 * page);
    ASSERT_EQ(client.map(memory.borrow(), 5 * page).error, IOMMUD_ERROR_NONE);

    const iommud_reply above = client.map(memory.borrow(), 4 * page);

    EXPECT_EQ(above.error, IOMMUD_ERROR_MEMORY_LIMIT);
    EXPECT_EQ(above.value, 3 * page);
}

TEST(HostileClient, TheNumberOfMapsIsBounded) {
    KeeperProcess keeper({.maps = 3});
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(page);
    ASSERT_EQ(client.map(memory.borrow(), page).error, IOMMUD_ERROR_NONE);
    ASSERT_EQ(client.map(memory.borrow(), page).error, IOMMUD_ERROR_NONE);
    ASSERT_EQ(client.map(memory.borrow(), page).error, IOMMUD_ERROR_NONE);

    const iommud_reply above = client.map(memory.borrow(), page);

    EXPECT_EQ(above.error, IOMMUD_ERROR_MAP_LIMIT);
    EXPECT_EQ(above.value, 3U);
}

TEST(HostileClient, TheNumberOfChannelsIsBounded) {
    KeeperProcess keeper;
    std::vector<Client> clients;
    clients.push_back(keeper.client());
    for (int i = 1; i < 16; ++i) {
        clients.push_back(clients.front().dup());
    }

    const iommud_reply above = clients.back().call({IOMMUD_DUP, 0, 9, 0, 0, 0});

    EXPECT_EQ(above.error, IOMMUD_ERROR_CHANNEL_LIMIT);
    EXPECT_EQ(above.value, 16U);
}

TEST(HostileClient, ShutdownOfOneDirectionEndsTheLeaseForAll) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const Client other = client.dup();

    ASSERT_EQ(::shutdown(client.fd().get(), SHUT_WR), 0);

    EXPECT_EQ(other.receive()->kind, IOMMUD_REVOKED);
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, ShutdownForReadingEndsTheLeaseAtTheNextAnswer) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const Client other = client.dup();

    ASSERT_EQ(::shutdown(client.fd().get(), SHUT_RD), 0);
    client.send({IOMMUD_QUERY, 0, 1, 0, 0, 0});

    EXPECT_EQ(other.receive()->kind, IOMMUD_REVOKED);
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, ShutdownOfBothDirectionsOfTheOnlyChannelEndsTheLease) {
    KeeperProcess keeper;
    const Client client = keeper.client();

    ASSERT_EQ(::shutdown(client.fd().get(), SHUT_RDWR), 0);

    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, AnEmptyPacketEndsTheLease) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const Client other = client.dup();

    client.send_bytes("", 0);

    EXPECT_EQ(other.receive()->kind, IOMMUD_REVOKED);
    EXPECT_EQ(keeper.exit_code(), 0);
}

class Rubbish : public testing::TestWithParam<std::size_t> {};

TEST_P(Rubbish, APacketOfAnotherSizeEndsTheLease) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const std::vector<char> bytes(GetParam(), 1);

    client.send_bytes(bytes.data(), bytes.size());

    EXPECT_TRUE(client.hangs_up());
    EXPECT_EQ(keeper.exit_code(), 0);
}
INSTANTIATE_TEST_SUITE_P(Sizes, Rubbish, testing::Values(1, 39, 41, 80, 4096, 65536));

TEST(HostileClient, AnUnknownOperationEndsTheLease) {
    KeeperProcess keeper;
    const Client client = keeper.client();

    client.send({77, 0, 1, 0, 0, 0});

    EXPECT_TRUE(client.hangs_up());
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, TwoDescriptorsEndTheLease) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(page);
    const iommud_request request{IOMMUD_MAP, IOMMUD_MAP_READ, 1, 0, page, 0};

    client.send_bytes(&request, sizeof request, {memory.borrow(), memory.borrow()});

    EXPECT_TRUE(client.hangs_up());
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, AnUnknownFlagIsAnError) {
    KeeperProcess keeper;
    const Client client = keeper.client();

    EXPECT_EQ(client.call({IOMMUD_QUERY, 0x80, 1, 0, 0, 0}).error, IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(client.call({IOMMUD_MAP, 0x11, 1, 0, page, 0}).error, IOMMUD_ERROR_INVALID_ARGUMENT);
}

TEST(HostileClient, AMapWithoutADescriptorIsAnError) {
    KeeperProcess keeper;
    const Client client = keeper.client();

    const iommud_reply reply = client.call({IOMMUD_MAP, IOMMUD_MAP_READ, 1, 0, page, 0});

    EXPECT_EQ(reply.error, IOMMUD_ERROR_INVALID_MEMORY);
    EXPECT_EQ(reply.value, IOMMUD_MEMORY_NO_DESCRIPTOR);
}

TEST(HostileClient, RepliesLeftUnreadEndTheLeaseAndNobodyWaits) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const Client other = client.dup();
    const iommud_request request{IOMMUD_QUERY, 0, 1, 0, 0, 0};

    // Until the keeper has closed its end; a blocking send waits for it to read.
    while (::send(client.fd().get(), &request, sizeof request, MSG_NOSIGNAL) > 0) {
    }

    EXPECT_EQ(other.receive()->kind, IOMMUD_REVOKED);
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, ALeaseIsNotKeptAliveByItsOwnDescriptorInItsQueue) {
    KeeperProcess keeper;
    Client client = keeper.client();
    const iommud_request request{IOMMUD_MAP, IOMMUD_MAP_READ, 1, 0, page, 0};

    client.send_bytes(&request, sizeof request, {client.fd()});
    client.send_bytes(&request, sizeof request, {client.fd()});
    client.close();

    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, ItsOwnLeaseDescriptorIsNoMemory) {
    KeeperProcess keeper;
    const Client client = keeper.client();

    const iommud_reply reply = client.map(client.fd(), page);

    EXPECT_EQ(reply.error, IOMMUD_ERROR_INVALID_MEMORY);
    EXPECT_EQ(reply.value, IOMMUD_MEMORY_NOT_MEMORY);
}

TEST(HostileClient, NoDescriptorIsLeftBehind) {
    // More of each than the keeper may have descriptors: were one kept, the next would not arrive.
    KeeperProcess keeper;
    const Client client = keeper.client();
    const UniqueFd memory = dma_memory(page);

    for (int i = 0; i < 300; ++i) {
        const iommud_reply mapped = client.map(memory.borrow(), page);
        ASSERT_EQ(client.unmap(mapped.value).error, IOMMUD_ERROR_NONE);
        // The lease's own descriptor, which would keep it alive; any other socket counts as a file that may never
        // close.
        ASSERT_EQ(client.map(client.fd(), page).value, IOMMUD_MEMORY_NOT_MEMORY);
        ASSERT_EQ(client.call({IOMMUD_QUERY, 1, 1, 0, 0, 0}, memory.borrow()).error, IOMMUD_ERROR_INVALID_ARGUMENT);
        ASSERT_TRUE(client.dup().fd().valid());
    }

    EXPECT_EQ(client.query().maps, 0U);
}

TEST(HostileClient, FilesThatAreNoMemoryAreRefusedAndManyOfThemEndTheLease) {
    // Each might be one that never closes, so that the keeper holds on to it until DMA has ended.
    constexpr int most = 16;
    KeeperProcess keeper;
    const Client client = keeper.client();
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));

    for (int i = 0; i < most; ++i) {
        ASSERT_EQ(client.map(null.borrow(), page).value, IOMMUD_MEMORY_NOT_MEMORY);
    }

    EXPECT_EQ(keeper.exit_code(), 0);
}

// The kernel closes within recvmsg(2) what finds no room there, and a socket like this one waits for five minutes.
TEST(HostileClient, DescriptorsBeyondTheFirstEndTheLeaseAndNothingWaits) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    Lingering waiting = lingering();
    const UniqueFd memory = dma_memory(page);
    std::vector<BorrowedFd> fds(252, memory.borrow());
    fds.push_back(waiting.socket.borrow());
    const iommud_request request{IOMMUD_QUERY, 0, 1, 0, 0, 0};

    client.send_bytes(&request, sizeof request, fds);
    waiting.socket.reset();

    const auto draining = keeper.report_of(LeaseState::draining);
    EXPECT_TRUE(draining) << "DMA has ended, and who waits now is charged for it";
    waiting.peer.reset();
    EXPECT_EQ(keeper.exit_code(), 0);
}

// An empty packet looks like the end of a channel, and its close would close what lies behind it.
void expect_that_nothing_waits_behind(int empty_packets, const std::vector<BorrowedFd>& with_the_first) {
    KeeperProcess keeper;
    Client client = keeper.client();
    Lingering waiting = lingering();
    const iommud_request request{IOMMUD_QUERY, 0, 1, 0, 0, 0};
    ::kill(keeper.pid(), SIGSTOP);
    for (int i = 0; i < empty_packets; ++i) {
        client.send_bytes(&request, 0, i == 0 ? with_the_first : std::vector<BorrowedFd>());
    }
    client.send_bytes(&request, sizeof request, {});
    client.send_bytes(&request, sizeof request, {waiting.socket.borrow()});
    waiting.socket.reset();
    client.close();

    ::kill(keeper.pid(), SIGCONT);

    EXPECT_TRUE(keeper.report_of(LeaseState::draining));
    waiting.peer.reset();
    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, WhatLiesBehindAnEmptyPacketIsNotClosedWithTheChannel) {
    expect_that_nothing_waits_behind(1, {});
    const UniqueFd memory = dma_memory(page);
    expect_that_nothing_waits_behind(1, {memory.borrow()});
}

TEST(HostileClient, WhatLiesBehindManyEmptyPacketsIsNotEither) {
    expect_that_nothing_waits_behind(100, {});
}

// Kept, it would keep a lease that nobody holds.
TEST(HostileClient, TheLeasesOwnEndBehindAnEmptyPacketIsNotKept) {
    KeeperProcess keeper;
    Client client = keeper.client();
    Client other = client.dup();
    const iommud_request request{IOMMUD_QUERY, 0, 1, 0, 0, 0};
    ::kill(keeper.pid(), SIGSTOP);
    client.send_bytes(&request, 0, {});
    client.send_bytes(&request, sizeof request, {other.fd()});
    client.close();
    other.close();

    ::kill(keeper.pid(), SIGCONT);

    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, EmptyPacketsBringNoMoreThanIsParked) {
    KeeperProcess keeper;
    Client client = keeper.client();
    const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const std::vector<BorrowedFd> many(253, socket.borrow());
    ::kill(keeper.pid(), SIGSTOP);
    for (int i = 0; i < 3; ++i) {
        client.send_bytes("", 0, many);
    }
    client.close();

    ::kill(keeper.pid(), SIGCONT);

    EXPECT_EQ(keeper.exit_code(), 0);
}

TEST(HostileClient, OneThatWritesWithoutEndDoesNotHideATakeBack) {
    KeeperProcess keeper;
    const Client client = keeper.client();
    const iommud_request request{IOMMUD_UNMAP, IOMMUD_UNMAP_ALL, 1, 0, 0, 0};
    ASSERT_EQ(keeper.monitor().send(ipc::TakeBack{}), ipc::SendResult::sent);

    while (::send(client.fd().get(), &request, sizeof request, MSG_NOSIGNAL) > 0) {
        std::array<char, 64> reply{};
        static_cast<void>(::recv(client.fd().get(), reply.data(), reply.size(), MSG_DONTWAIT));
    }

    EXPECT_EQ(keeper.exit_code(), 0);
}

}  // namespace
}  // namespace iommud::test
