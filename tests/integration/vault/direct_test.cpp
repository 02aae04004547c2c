// Who holds a direct lease is known from the connection that the vault was given, and is killed when the lease is
// revoked.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <stdexcept>

#include "tests/integration/vault/vault_process.hpp"

namespace iommud::test {
namespace {

// A process of its own that has connected.
class Caller {
  public:
    Caller() {
        const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socklen_t size = sizeof(sa_family_t);  // the kernel chooses a name
        if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
            ::listen(listener.get(), 1) != 0) {
            throw std::runtime_error("no socket for a caller");
        }
        size = sizeof address;
        ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
        pid_ = ::fork();
        if (pid_ == 0) {
            const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
            if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) {
                ::pause();
            }
            ::_exit(1);
        }
        connection_ = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
    ~Caller() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;

    [[nodiscard]] BorrowedFd connection() const { return connection_.borrow(); }
    // The signal that ended it; waits for its end.
    [[nodiscard]] int killed_by() {
        siginfo_t info{};
        ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
        return info.si_status;
    }

    [[nodiscard]] bool runs() const {
        siginfo_t info{};
        return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == 0;
    }

  private:
    pid_t pid_ = -1;
    UniqueFd connection_;
};

ipc::GrantLease direct_grant(std::uint32_t slot) {
    ipc::GrantLease grant = a_grant(1);
    grant.mode = Mode::direct;
    grant.holder_uid = ::getuid();
    grant.holder_slot = slot;
    return grant;
}

// The worker's end of its channel has to stay open for as long as the worker is to live.
ipc::Channel serve(const ipc::Channel& vault, const Caller& caller, std::uint32_t slot) {
    auto [ours, workers] = ipc::Channel::pair().value();
    const std::array<BorrowedFd, 2> fds{caller.connection(), workers.fd()};
    EXPECT_EQ(vault.send(ipc::StartWorker{.slot = slot, .kind = ConnectionKind::client}, fds), ipc::SendResult::sent);
    EXPECT_TRUE(next<ipc::RequestFailed>(ours)) << "the worker says what it was given";
    return std::move(ours);
}

TEST(VaultDirect, ALeaseOfNobodyItKnowsIsRefused) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();

    static_cast<void>(ask_for(monitor.channel, direct_grant(5)));

    const auto result = next<ipc::GrantResult>(monitor.channel);
    ASSERT_TRUE(result);
    EXPECT_FALSE(result->granted);
    EXPECT_EQ(result->code, ErrorCode::unsupported_mode);
}

// Whose limits are lowered at the lease's end is not for the monitor to say.
TEST(VaultDirect, ALeaseForAnotherUserThanConnectedIsRefused) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const Caller caller;
    const ipc::Channel worker = serve(monitor.channel, caller, 5);
    ipc::GrantLease grant = direct_grant(5);
    grant.holder_uid = ::getuid() + 1;

    static_cast<void>(ask_for(monitor.channel, grant));

    const auto result = next<ipc::GrantResult>(monitor.channel);
    ASSERT_TRUE(result);
    EXPECT_FALSE(result->granted);
    EXPECT_EQ(result->code, ErrorCode::internal);
}

TEST(VaultDirect, TheHolderOfARevokedLeaseIsKilledAndTheLeaseEnds) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    Caller caller;
    const ipc::Channel worker = serve(monitor.channel, caller, 5);
    const ipc::Channel delivery = ask_for(monitor.channel, direct_grant(5));
    ipc::Packet packet;
    ASSERT_TRUE(next<ipc::GrantResult>(monitor.channel, &packet));
    ASSERT_EQ(packet.fds.size(), 2U);
    const ipc::Channel control(std::move(packet.fds[0]));

    ASSERT_EQ(control.send(ipc::TakeBack{.grace_usec = 0, .reason = "x", .kill_holder = true}), ipc::SendResult::sent);

    const auto died = next<ipc::KeeperDied>(monitor.channel);
    ASSERT_TRUE(died);
    EXPECT_TRUE(died->revoked);
    EXPECT_EQ(caller.killed_by(), SIGKILL);
    EXPECT_TRUE(next<ipc::LeaseEnded>(monitor.channel));
}

// A lease of mode direct, its keeper's channel and its holder.
class DirectLease : public testing::Test {
  protected:
    void SetUp() override {
        ipc::Packet packet;
        ASSERT_TRUE(next<ipc::GrantResult>(monitor_.channel, &packet));
        ASSERT_EQ(packet.fds.size(), 2U);
        control_ = ipc::Channel(std::move(packet.fds[0]));
        keeper_ = std::move(packet.fds[1]);
        ASSERT_TRUE(next<ipc::KeeperReport>(control_));
    }

    VaultProcess vault_{IOMMUD_FAKE_LIBEXEC};
    VaultProcess::Greeting monitor_ = vault_.greeted();
    Caller caller_;
    ipc::Channel worker_ = serve(monitor_.channel, caller_, 5);
    ipc::Channel delivery_ = ask_for(monitor_.channel, direct_grant(5));
    ipc::Channel control_;
    UniqueFd keeper_;
};

TEST_F(DirectLease, ItsHolderDiesAtTheKeepersWordAndNotAtItsExit) {
    ASSERT_EQ(control_.send(ipc::TakeBack{.grace_usec = 0, .reason = "stays R", .kill_holder = true}),
              ipc::SendResult::sent);

    const auto died = next<ipc::KeeperDied>(monitor_.channel);
    ASSERT_TRUE(died);
    EXPECT_TRUE(died->revoked);
    EXPECT_EQ(caller_.killed_by(), SIGKILL);
    EXPECT_TRUE(next<ipc::LeaseEnded>(monitor_.channel)) << "its successor does not wait either";
    pollfd exited{keeper_.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&exited, 1, 0), 0) << "the keeper has ended, and nothing was shown";
}

TEST_F(DirectLease, ItsHolderDiesAtItsDeadlineWhateverTheKeeperDoes) {
    ASSERT_EQ(monitor_.channel.send(ipc::CondemnHolder{.lease = 1, .grace_usec = 1000}), ipc::SendResult::sent);

    EXPECT_EQ(caller_.killed_by(), SIGKILL);
}

TEST_F(DirectLease, ItsHolderLivesWhenItsKeeperLeavesALeaseThatNobodyRevoked) {
    ASSERT_EQ(control_.send(ipc::TakeBack{.grace_usec = 0, .reason = "stays L", .kill_holder = false}),
              ipc::SendResult::sent);

    const auto died = next<ipc::KeeperDied>(monitor_.channel);
    ASSERT_TRUE(died);
    EXPECT_TRUE(died->left);
    EXPECT_FALSE(died->revoked);
    EXPECT_TRUE(next<ipc::LeaseEnded>(monitor_.channel));
    EXPECT_TRUE(caller_.runs());
}

}  // namespace
}  // namespace iommud::test
