// A lease is taken back while its keeper is still to come.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/ipc/keeper_messages.hpp"
#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

constexpr std::uint64_t grace_usec = 20'000'000;

TEST(TakeBack, ReachesAKeeperThatComesAfterIt) {
    const MonitorProcess monitor;
    const Served client = monitor.connect();
    const Served admin = monitor.connect(true);
    ipc::AcquireRequest request;
    request.devices = {*PciAddress::parse("0000:00:04.0")};
    request.memory = 4096;
    ASSERT_EQ(client.worker.send(request), ipc::SendResult::sent);
    const auto grant = monitor.verb<ipc::GrantLease>();
    ASSERT_TRUE(grant);

    ASSERT_EQ(admin.worker.send(
                  ipc::RevokeRequest{.cookie = 7, .lease = grant->lease, .grace_usec = grace_usec, .reason = "a test"}),
              ipc::SendResult::sent);
    ASSERT_TRUE(next_answer<ipc::RequestDone>(admin.worker));
    const auto [monitors, keepers] = ipc::Channel::pair().value();
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    const BorrowedFd fds[] = {monitors.fd(), process.borrow()};
    ASSERT_EQ(
        monitor.vault().send(ipc::GrantResult{.lease = grant->lease, .granted = true, .code = {}, .message = {}}, fds),
        ipc::SendResult::sent);

    const auto told = ipc::decode<ipc::TakeBack>(next_packet(keepers).bytes);
    ASSERT_TRUE(told);
    EXPECT_GT(told->grace_usec, 0U);
    EXPECT_LE(told->grace_usec, grace_usec);
}

TEST(TakeBack, ReachesAKeeperThatIsBeingOpenedWhenTheMonitorComes) {
    LeaseRecord record = held_lease(Mode::managed);
    record.label = being_opened;
    const MonitorProcess monitor({record});
    const Served admin = monitor.connect(true);
    ASSERT_EQ(
        admin.worker.send(ipc::RevokeRequest{.cookie = 7, .lease = 5, .grace_usec = grace_usec, .reason = "a test"}),
        ipc::SendResult::sent);
    ASSERT_TRUE(next_answer<ipc::RequestDone>(admin.worker));
    const auto [monitors, keepers] = ipc::Channel::pair().value();
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    const BorrowedFd fds[] = {monitors.fd(), process.borrow()};

    ASSERT_EQ(monitor.vault().send(ipc::GrantResult{.lease = 5, .granted = true, .code = {}, .message = {}}, fds),
              ipc::SendResult::sent);

    EXPECT_TRUE(ipc::decode<ipc::TakeBack>(next_packet(keepers).bytes));
}

// The next KillChild, past what else the vault is told; nothing in five seconds: none.
std::optional<ipc::KillChild> killed(const MonitorProcess& monitor) {
    for (;;) {
        const ipc::Packet packet = next_packet(monitor.vault());
        auto kill = ipc::decode<ipc::KillChild>(packet.bytes);
        if (kill || packet.bytes.empty()) {
            return kill;
        }
    }
}

TEST(TakeBack, OfAKeeperThatDoesNotEvenBeginEndsWithItsDeath) {
    const MonitorProcess monitor({held_lease(Mode::managed)});
    const Served admin = monitor.connect(true);

    ASSERT_EQ(admin.worker.send(ipc::RevokeRequest{.cookie = 7, .lease = 5, .grace_usec = 0, .reason = "a test"}),
              ipc::SendResult::sent);

    const auto kill = killed(monitor);
    ASSERT_TRUE(kill);
    EXPECT_EQ(kill->kind, ipc::ChildKind::keeper);
    EXPECT_EQ(kill->id, 5U);
}

TEST(TakeBack, OfADirectLeaseTellsTheVaultWhenItsHolderDies) {
    const MonitorProcess monitor({held_lease(Mode::direct)});
    const Served admin = monitor.connect(true);

    ASSERT_EQ(
        admin.worker.send(ipc::RevokeRequest{.cookie = 7, .lease = 5, .grace_usec = grace_usec, .reason = "a test"}),
        ipc::SendResult::sent);

    std::optional<ipc::CondemnHolder> condemned;
    do {
        const ipc::Packet packet = next_packet(monitor.vault());
        ASSERT_FALSE(packet.bytes.empty());
        condemned = ipc::decode<ipc::CondemnHolder>(packet.bytes);
    } while (!condemned);
    EXPECT_EQ(condemned->lease, 5U);
    EXPECT_EQ(condemned->grace_usec, grace_usec);
}

}  // namespace
}  // namespace iommud::test
