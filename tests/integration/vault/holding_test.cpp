// The vault does what the monitor asks, and holds on to it when the monitor is gone.
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <vector>

#include "tests/integration/lingering.hpp"
#include "tests/integration/vault/vault_process.hpp"

namespace iommud::test {
namespace {

using ipc::SendResult;

// A lease as the monitor has it after a GrantResult.
struct Granted {
    ipc::Channel control;
    UniqueFd pidfd;
    ipc::Channel delivery;
};

Granted grant(const ipc::Channel& vault, LeaseId id) {
    Granted granted;
    granted.delivery = ask_for(vault, a_grant(id));
    ipc::Packet packet;
    const auto result = next<ipc::GrantResult>(vault, &packet);
    EXPECT_TRUE(result && result->granted && result->lease == id) << (result ? result->message : "no GrantResult");
    if (packet.fds.size() == 2) {
        granted.control = ipc::Channel(std::move(packet.fds[0]));
        granted.pidfd = std::move(packet.fds[1]);
    }
    EXPECT_TRUE(next<ipc::KeeperReport>(granted.control)) << "the keeper does not speak";
    return granted;
}

TEST(VaultGreeting, SaysWhatTheSimulatedKernelCannotGive) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);

    const auto greeting = vault.greeted();

    EXPECT_EQ(greeting.hello.kernel, KernelInterface::simulated);
    EXPECT_EQ(greeting.hello.last_lease, 0U);
    EXPECT_FALSE(greeting.hello.dropped_invariants.empty());
    EXPECT_TRUE(greeting.leases.empty());
}

TEST(VaultGreeting, ASecondMonitorIsRefusedWhileOneIsConnected) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto first = vault.greeted();

    const ipc::Channel second = vault.connect();

    EXPECT_TRUE(hangs_up(second));
    static_cast<void>(ask_for(first.channel, a_grant(1)));
    EXPECT_TRUE(next<ipc::GrantResult>(first.channel));
}

TEST(VaultWorker, GetsTheConnectionAndTheChannelAndNothingElse) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    auto [ours, workers] = ipc::Channel::pair().value();
    std::array<int, 2> client{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client.data()), 0);
    const UniqueFd near(client[0]);
    UniqueFd far(client[1]);
    const std::array<BorrowedFd, 2> fds{far.borrow(), workers.fd()};

    ASSERT_EQ(monitor.channel.send(ipc::StartWorker{.slot = 5, .kind = ConnectionKind::client}, fds), SendResult::sent);

    const auto found = next<ipc::RequestFailed>(ours);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->message, "0 1 2 3 4 5 ") << "5 is the folder that it reads; its environment is empty";
    workers.close();
    ours.close();
    const auto exited = next<ipc::WorkerExited>(monitor.channel);
    ASSERT_TRUE(exited);
    EXPECT_EQ(exited->slot, 5U);
    EXPECT_EQ(exited->status, "exited 0");
}

TEST(VaultWorker, IsKilledWhenTheMonitorAsks) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    auto [ours, workers] = ipc::Channel::pair().value();
    const std::array<BorrowedFd, 1> fds{workers.fd()};
    ASSERT_EQ(monitor.channel.send(ipc::StartWorker{.slot = 0, .kind = ConnectionKind::system_bus}, fds),
              SendResult::sent);
    ASSERT_TRUE(next<ipc::RequestFailed>(ours));

    ASSERT_EQ(monitor.channel.send(ipc::KillChild{.kind = ipc::ChildKind::worker, .id = 0}), SendResult::sent);

    const auto exited = next<ipc::WorkerExited>(monitor.channel);
    ASSERT_TRUE(exited);
    EXPECT_EQ(exited->status, "killed by SIGKILL");
}

TEST(VaultWorker, EndsWithItsMonitorAndLeavesItsSlotFree) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    auto [ours, workers] = ipc::Channel::pair().value();
    const std::array<BorrowedFd, 1> fds{workers.fd()};
    const ipc::StartWorker start{.slot = 0, .kind = ConnectionKind::system_bus};
    ASSERT_EQ(monitor.channel.send(start, fds), SendResult::sent);
    ASSERT_TRUE(next<ipc::RequestFailed>(ours));

    monitor.channel.close();
    workers.close();

    EXPECT_TRUE(hangs_up(ours));
    const auto successor = vault.greeted();
    auto [new_ours, new_workers] = ipc::Channel::pair().value();
    const std::array<BorrowedFd, 1> new_fds{new_workers.fd()};
    ASSERT_EQ(successor.channel.send(start, new_fds), SendResult::sent);
    EXPECT_TRUE(next<ipc::RequestFailed>(new_ours));
}

TEST(VaultLease, TheKeeperIsToldWhatTheMonitorGranted) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const ipc::Channel delivery = ask_for(monitor.channel, a_grant(3));
    ipc::Packet packet;

    const auto result = next<ipc::GrantResult>(monitor.channel, &packet);

    ASSERT_TRUE(result);
    EXPECT_TRUE(result->granted) << result->message;
    EXPECT_EQ(result->lease, 3U);
    ASSERT_EQ(packet.fds.size(), 2U);
    const auto report = next<ipc::KeeperReport>(ipc::Channel(std::move(packet.fds[0])));
    ASSERT_TRUE(report);
    EXPECT_EQ(report->mapped, a_grant(3).reserve);
    EXPECT_EQ(report->maps, 101U) << "one device; the delivery end, and no other descriptor on the simulated kernel";
}

TEST(VaultLease, EndsWhenItsKeeperIsDone) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const Granted lease = grant(monitor.channel, 1);

    ASSERT_EQ(lease.control.send(ipc::TakeBack{}), SendResult::sent);

    const auto ended = next<ipc::LeaseEnded>(monitor.channel);
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->lease, 1U);
}

TEST(VaultLease, AKilledKeeperGetsASuccessorAndThenTheLeaseEnds) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const Granted lease = grant(monitor.channel, 1);

    ASSERT_EQ(monitor.channel.send(ipc::KillChild{.kind = ipc::ChildKind::keeper, .id = 1}), SendResult::sent);

    ipc::Packet packet;
    const auto died = next<ipc::KeeperDied>(monitor.channel, &packet);
    ASSERT_TRUE(died);
    EXPECT_EQ(died->status, "killed by SIGKILL");
    EXPECT_EQ(packet.fds.size(), 2U);
    EXPECT_TRUE(next<ipc::LeaseEnded>(monitor.channel));
    EXPECT_TRUE(exits(lease.pidfd.borrow()));
}

TEST(VaultLease, OutlivesTheMonitorAndIsHandedToTheNext) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    Granted lease = grant(monitor.channel, 7);
    monitor.channel.close();
    lease.control.close();

    auto next_monitor = vault.greeted();

    EXPECT_EQ(next_monitor.hello.last_lease, 7U);
    ASSERT_EQ(next_monitor.leases.size(), 1U);
    auto& [held, packet] = next_monitor.leases[0];
    EXPECT_EQ(held.record, a_grant(7).record);
    EXPECT_FALSE(held.successor);
    ASSERT_EQ(packet.fds.size(), 2U);
    const ipc::Channel control(std::move(packet.fds[0]));
    ASSERT_EQ(control.send(ipc::TakeBack{}), SendResult::sent);
    EXPECT_TRUE(next<ipc::LeaseEnded>(next_monitor.channel));
}

TEST(VaultLease, AKeeperThatDiesWithoutAMonitorIsCleanedUpAfterToo) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    const Granted lease = grant(monitor.channel, 1);
    const auto keeper = child_of(vault.pid(), "iommud-keeper");
    ASSERT_TRUE(keeper);
    monitor.channel.close();

    ASSERT_EQ(::kill(*keeper, SIGKILL), 0);
    ASSERT_TRUE(exits(lease.pidfd.borrow()));

    const auto next_monitor = vault.greeted();
    EXPECT_EQ(next_monitor.hello.last_lease, 1U);
}

TEST(VaultLease, LeavesNoDescriptorBehind) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const auto before = vault.descriptors_at_rest();

    for (LeaseId id = 1; id <= 5; ++id) {
        const Granted lease = grant(monitor.channel, id);
        ASSERT_EQ(lease.control.send(ipc::TakeBack{}), SendResult::sent);
        ASSERT_TRUE(next<ipc::LeaseEnded>(monitor.channel));
    }

    EXPECT_EQ(vault.descriptors_at_rest(), before);
}

TEST(VaultLease, MoreDevicesReachTheKeeperAndTheRecordIsReplaced) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    const Granted lease = grant(monitor.channel, 1);
    auto [ours, keepers] = ipc::Channel::pair().value();
    const std::array<BorrowedFd, 1> fds{keepers.fd()};
    const ipc::ExtendLease more{
        .lease = 1, .devices = {*PciAddress::parse("0000:00:06.0")}, .no_reset_allowed = {}, .record = {std::byte{9}}};

    ASSERT_EQ(monitor.channel.send(more, fds), SendResult::sent);

    // This keeper says that KeeperAdd came by exiting, which the vault may see before its child's report.
    std::optional<ipc::ExtendResult> result;
    std::optional<ipc::KeeperDied> died;
    for (int packets = 0; packets < 2; ++packets) {
        const ipc::Packet packet = next_packet(monitor.channel);
        if (auto granted = ipc::decode<ipc::ExtendResult>(packet.bytes)) {
            result = std::move(granted);
        } else {
            died = ipc::decode<ipc::KeeperDied>(packet.bytes);
        }
    }
    ASSERT_TRUE(result);
    EXPECT_TRUE(result->granted) << result->message;
    ASSERT_TRUE(died);
    EXPECT_EQ(died->status, "exited 5");
}

TEST(VaultLease, NothingOvertakesTheFirstFrameOfASuccessor) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const Granted lease = grant(monitor.channel, 1);
    ASSERT_EQ(monitor.channel.send(ipc::KillChild{.kind = ipc::ChildKind::keeper, .id = 1}), SendResult::sent);
    ipc::Packet packet;
    ASSERT_TRUE(next<ipc::KeeperDied>(monitor.channel, &packet));
    ASSERT_EQ(packet.fds.size(), 2U);
    const ipc::Channel control(std::move(packet.fds[0]));

    ASSERT_EQ(control.send(ipc::TakeBack{}), SendResult::sent);

    EXPECT_TRUE(next<ipc::LeaseEnded>(monitor.channel)) << "or the successor exited 6, and another one is announced";
}

// ---- a keeper that does not end

TEST(VaultLease, OneThatIsLeftByItsKeeperEndsWithoutIt) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const Granted lease = grant(monitor.channel, 1);

    ASSERT_EQ(lease.control.send(ipc::TakeBack{.grace_usec = 0, .reason = "stays EL", .kill_holder = false}),
              SendResult::sent);

    const auto died = next<ipc::KeeperDied>(monitor.channel);
    ASSERT_TRUE(died);
    EXPECT_TRUE(died->left);
    EXPECT_TRUE(next<ipc::LeaseEnded>(monitor.channel));
}

TEST(VaultLease, AnAccountWithManyKeepersLeftBehindGetsNoMore) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    std::vector<Granted> kept;  // a keeper whose monitor hangs up ends
    for (LeaseId id = 1; id <= 8; ++id) {
        kept.push_back(grant(monitor.channel, id));
        ASSERT_EQ(kept.back().control.send(ipc::TakeBack{.grace_usec = 0, .reason = "stays L", .kill_holder = false}),
                  SendResult::sent);
        ASSERT_TRUE(next<ipc::KeeperDied>(monitor.channel));
        ASSERT_TRUE(next<ipc::LeaseEnded>(monitor.channel));
    }

    static_cast<void>(ask_for(monitor.channel, a_grant(9)));

    const auto refused = next<ipc::GrantResult>(monitor.channel);
    ASSERT_TRUE(refused);
    EXPECT_FALSE(refused->granted);
    EXPECT_EQ(refused->code, ErrorCode::lease_limit);
    ipc::GrantLease others = a_grant(10);
    others.account_uid += 1;
    const ipc::Channel delivery = ask_for(monitor.channel, others);
    const auto granted = next<ipc::GrantResult>(monitor.channel);
    ASSERT_TRUE(granted);
    EXPECT_TRUE(granted->granted) << granted->message;
}

TEST(VaultThing, IsHeldWithItsSocketUntilItIsLetGo) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr nameless{AF_UNIX, {}};
    ASSERT_EQ(::bind(listener.get(), &nameless, sizeof(sa_family_t)), 0);
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    const std::array<BorrowedFd, 1> fds{listener.borrow()};
    const ipc::Hold endpoint{.name = "endpoint/a", .value = {std::byte{1}}};
    ASSERT_EQ(monitor.channel.send(endpoint, fds), SendResult::sent);
    ASSERT_EQ(monitor.channel.send(ipc::Hold{.name = "b", .value = {}}), SendResult::sent);
    ASSERT_EQ(monitor.channel.send(ipc::Unhold{.name = "b"}), SendResult::sent);
    monitor.channel.close();

    const auto next_monitor = vault.greeted();

    ASSERT_EQ(next_monitor.things.size(), 1U);
    EXPECT_EQ(next_monitor.things[0].first.name, "endpoint/a");
    EXPECT_EQ(next_monitor.things[0].first.value, endpoint.value);
    EXPECT_EQ(next_monitor.things[0].second.fds.size(), 1U);
}

TEST(VaultStop, WaitsForItsKeepers) {
    VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const Granted lease = grant(monitor.channel, 1);

    const int status = vault.stop();

    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_TRUE(exits(lease.pidfd.borrow()));
}

TEST(VaultStop, DoesNotWaitForKeepersWhoseDmaHasEnded) {
    VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const Granted lease = grant(monitor.channel, 1);
    const auto keeper = child_of(vault.pid(), "iommud-keeper");
    ASSERT_TRUE(keeper);
    ASSERT_EQ(lease.control.send(ipc::TakeBack{.grace_usec = 0, .reason = "stays E", .kill_holder = false}),
              SendResult::sent);
    ASSERT_TRUE(next<ipc::KeeperReport>(lease.control)) << "it has told the vault";
    const Stopped it_hears_neither_a_signal_nor_its_lifeline(*keeper);

    const int status = vault.stop();

    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
    pollfd exited{lease.pidfd.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&exited, 1, 0), 0) << "the keeper has ended, and nothing was shown";
    ::kill(*keeper, SIGKILL);
}

TEST(VaultStop, ItsDeathReachesTheKeepersByTheirLifeline) {
    VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const Granted lease = grant(monitor.channel, 1);

    vault.kill_now();

    EXPECT_TRUE(exits(lease.pidfd.borrow()));
}

}  // namespace
}  // namespace iommud::test
