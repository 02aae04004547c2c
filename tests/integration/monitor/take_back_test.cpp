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

}  // namespace
}  // namespace iommud::test
