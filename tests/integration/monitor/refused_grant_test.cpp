// A keeper that cannot give a lease says why and exits. The vault's word of the exit comes on another channel, and may
// be read first: the client is told the cause all the same.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/ipc/keeper_messages.hpp"
#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

using ipc::SendResult;
using Ends = std::pair<ipc::Channel, ipc::Channel>;  // the monitor's, the keeper's

// A lease whose keeper is there and has said nothing yet.
class RefusedGrant : public testing::Test {
  protected:
    void SetUp() override {
        ipc::AcquireRequest request;
        request.devices = {*PciAddress::parse("0000:00:04.0")};
        request.memory = 4096;
        ASSERT_EQ(client_.worker.send(request), SendResult::sent);
        const auto grant = monitor_.verb<ipc::GrantLease>();
        ASSERT_TRUE(grant);
        lease_ = grant->lease;
        vault_says_with(ipc::GrantResult{.lease = lease_, .granted = true, .code = {}, .message = {}}, keeper_);
        // What it is told shows that the monitor listens to it.
        const Served admin = monitor_.connect(true);
        ASSERT_EQ(admin.worker.send(
                      ipc::RevokeRequest{.cookie = 7, .lease = lease_, .grace_usec = 20'000'000, .reason = "a test"}),
                  SendResult::sent);
        ASSERT_TRUE(next_answer<ipc::TakeBack>(keeper_.second));
        monitor_.stop(true);
    }

    template <class Message>
    void vault_says_with(const Message& message, const Ends& channel) const {
        const BorrowedFd fds[] = {channel.first.fd(), process_.borrow()};
        ASSERT_EQ(monitor_.vault().send(message, fds), SendResult::sent);
    }
    // What the client is told, when the keeper has said its word after the vault's.
    [[nodiscard]] std::string cause() {
        EXPECT_EQ(keeper_.second.send(ipc::KeeperFailed{.code = ErrorCode::device_refused, .message = "the cause"}),
                  SendResult::sent);
        keeper_.second.close();
        monitor_.stop(false);
        const auto refusal = next_answer<ipc::RequestFailed>(client_.worker);
        return refusal ? refusal->message : "no answer";
    }

    const MonitorProcess monitor_;
    const Served client_ = monitor_.connect();
    const UniqueFd process_{static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))};
    Ends keeper_ = ipc::Channel::pair().value();
    LeaseId lease_ = 0;
};

TEST_F(RefusedGrant, HasTheKeepersCauseThoughTheLeaseHasEnded) {
    ASSERT_EQ(monitor_.vault().send(ipc::LeaseEnded{.lease = lease_}), SendResult::sent);

    EXPECT_EQ(cause(), "the cause");
}

TEST_F(RefusedGrant, HasTheKeepersCauseThoughTheKeeperIsDead) {
    const Ends successor = ipc::Channel::pair().value();
    vault_says_with(ipc::KeeperDied{.lease = lease_, .status = "exited with status 1"}, successor);

    EXPECT_EQ(cause(), "the cause");
}

}  // namespace
}  // namespace iommud::test
