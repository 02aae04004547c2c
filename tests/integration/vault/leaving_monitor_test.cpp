// What a monitor under an attacker's control leaves behind when it goes: the vault waits for none of it, and leases go
// on.
#include <array>

#include "tests/integration/lingering.hpp"
#include "tests/integration/vault/vault_process.hpp"

namespace iommud::test {
namespace {

// Hazard C20.
TEST(HostileMonitorLeaves, TheVaultWaitingForNoCloseOfWhatItSends) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    std::vector<UniqueFd> stuck;
    for (const std::size_t ordinary : {0U, 2U}) {
        const auto hostile = vault.greeted();
        Lingering waiting = lingering();
        std::vector<BorrowedFd> fds(ordinary, hostile.channel.fd());
        fds.push_back(waiting.socket.borrow());
        const Stopped while_it_is_sent(vault.pid());
        ASSERT_EQ(hostile.channel.send(a_grant(1), fds), ipc::SendResult::sent);
        waiting.socket.reset();
        while_it_is_sent.go_on();
        ASSERT_TRUE(is_dropped(hostile.channel)) << ordinary;

        EXPECT_EQ(vault.greeted().hello.last_lease, 0U) << "it waits";
        stuck.push_back(std::move(waiting.peer));
    }
}

TEST(HostileMonitorLeaves, TheVaultWaitingForNoCloseOfAConnectionThatItRefuses) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto honest = vault.greeted();
    Lingering waiting = lingering();
    ipc::Channel second = vault.connect();
    const std::array<BorrowedFd, 1> fds{waiting.socket.borrow()};
    const Stopped while_it_is_sent(vault.pid());
    static_cast<void>(second.send(ipc::KillChild{}, fds));  // the vault may have refused it already
    waiting.socket.reset();
    while_it_is_sent.go_on();

    EXPECT_TRUE(hangs_up(second));
    const ipc::Channel delivery = ask_for(honest.channel, a_grant(1));
    EXPECT_TRUE(next<ipc::GrantResult>(honest.channel)) << "it waits";
}

TEST(HostileMonitorLeaves, TheVaultWaitingForNoCloseOfWhatLiesInItsConnection) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    Lingering waiting = lingering();
    {
        const auto hostile = vault.greeted();
        const std::array<BorrowedFd, 1> fds{waiting.socket.borrow()};
        const Stopped while_it_is_sent(vault.pid());
        static_cast<void>(hostile.channel.send_bytes(ipc::Bytes(3)));  // it is dropped for this one
        for (int i = 0; i < 16; ++i) {
            static_cast<void>(hostile.channel.send(ipc::KillChild{}, fds));
        }
        waiting.socket.reset();
        while_it_is_sent.go_on();
        ASSERT_TRUE(is_dropped(hostile.channel));
    }

    EXPECT_EQ(vault.greeted().hello.last_lease, 0U) << "it waits";
}

TEST(HostileMonitorLeaves, ARunningLeaseUntouched) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto hostile = vault.greeted();
    const ipc::Channel delivery = ask_for(hostile.channel, a_grant(1));
    ASSERT_TRUE(next<ipc::GrantResult>(hostile.channel));

    static_cast<void>(hostile.channel.send_bytes(ipc::Bytes(3)));

    ASSERT_TRUE(is_dropped(hostile.channel));
    const auto honest = vault.greeted();
    ASSERT_EQ(honest.leases.size(), 1U);
    EXPECT_FALSE(honest.leases[0].first.successor);
}

TEST(HostileMonitorLeaves, TheVaultWaitingForNothingWhenItDoesNotRead) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto hostile = vault.greeted();

    ipc::SendResult last = ipc::SendResult::sent;
    for (int i = 0; i < 200'000 && last != ipc::SendResult::closed; ++i) {
        const ipc::ExtendLease unknown{
            .lease = 1, .devices = a_grant(1).devices, .no_reset_allowed = {}, .record = {std::byte{1}}};
        const auto ends = ipc::Channel::pair().value();
        const std::array<BorrowedFd, 1> fds{ends.first.fd()};
        last = hostile.channel.send(unknown, fds);
    }

    EXPECT_EQ(last, ipc::SendResult::closed);
    EXPECT_EQ(vault.greeted().hello.last_lease, 0U);
}

}  // namespace
}  // namespace iommud::test
