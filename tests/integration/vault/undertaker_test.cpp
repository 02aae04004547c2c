// The processes that close for vault and monitor, as the vault starts and ends them.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <set>
#include <thread>

#include "tests/integration/lingering.hpp"
#include "tests/integration/vault/vault_process.hpp"

namespace iommud::test {
namespace {

constexpr std::size_t each = 4;

std::set<pid_t> undertakers_now(const VaultProcess& vault) {
    std::set<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::ifstream file(entry.path() / "stat");
        std::string number;
        std::string command;
        std::string state;
        pid_t parent = 0;
        // The kernel keeps 15 letters.
        if (file >> number >> command >> state >> parent && parent == vault.pid() && command == "(iommud-undertak)") {
            found.insert(std::stoi(number));
        }
    }
    return found;
}

// Once there are `count`: a child has its name when it has begun to be one.
std::set<pid_t> undertakers_of(const VaultProcess& vault, std::size_t count) {
    std::set<pid_t> found = undertakers_now(vault);
    for (int tries = 0; tries < patience_ms / 10 && found.size() != count; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        found = undertakers_now(vault);
    }
    EXPECT_EQ(found.size(), count);
    return found;
}

ipc::Channel channel_of(std::pair<ipc::UndertakerComing, ipc::Packet>& undertaker) {
    return ipc::Channel(std::move(undertaker.second.fds.at(0)));
}

TEST(Undertaker, AMonitorIsGivenFour) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);

    EXPECT_EQ(vault.greeted().undertakers.size(), each);
}

TEST(Undertaker, ClosesWhenItIsToldThatItIsTheLast) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    const ipc::Channel undertaker = channel_of(monitor.undertakers[0]);
    auto [ours, peers] = ipc::Channel::pair().value();
    const std::array<BorrowedFd, 1> fds{ours.fd()};
    const std::array<std::byte, 1> mark{};

    ASSERT_EQ(undertaker.send_bytes(mark, fds), ipc::SendResult::sent);
    ours.close();
    EXPECT_FALSE(peers.has_unread());
    ASSERT_EQ(undertaker.send_bytes(mark), ipc::SendResult::sent);

    EXPECT_TRUE(hangs_up(peers));
    EXPECT_FALSE(next_packet(undertaker).bytes.empty()) << "it acknowledges";
}

TEST(Undertaker, IsReplacedAndKilledWhenTheMonitorAsks) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    const ipc::Channel stuck = channel_of(monitor.undertakers[2]);
    Lingering waiting = lingering();
    const std::array<BorrowedFd, 1> fds{waiting.socket.borrow()};
    const std::array<std::byte, 1> mark{};
    ASSERT_EQ(stuck.send_bytes(mark, fds), ipc::SendResult::sent);
    waiting.socket.reset();
    ASSERT_EQ(stuck.send_bytes(mark), ipc::SendResult::sent);
    EXPECT_FALSE(next_packet(stuck).bytes.empty()) << "it has received it, and closes";

    ASSERT_EQ(monitor.channel.send(ipc::ReplaceUndertaker{monitor.undertakers[2].first.id}), ipc::SendResult::sent);

    const auto another = next<ipc::UndertakerComing>(monitor.channel);
    ASSERT_TRUE(another);
    EXPECT_GT(another->id, monitor.undertakers[3].first.id);
    EXPECT_TRUE(hangs_up(stuck)) << "its exit does not linger";
}

TEST(Undertaker, IsReplacedWhenItHasGoneByItself) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    channel_of(monitor.undertakers[0]).close();

    ASSERT_EQ(monitor.channel.send(ipc::ReplaceUndertaker{monitor.undertakers[0].first.id}), ipc::SendResult::sent);

    EXPECT_TRUE(next<ipc::UndertakerComing>(monitor.channel));
}

TEST(Undertaker, OfTheVaultItselfIsNotTheMonitorsToReplace) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto own = undertakers_of(vault, each);
    const auto monitor = vault.greeted();

    for (std::uint64_t id = 0; id < monitor.undertakers[0].first.id; ++id) {
        ASSERT_EQ(monitor.channel.send(ipc::ReplaceUndertaker{id}), ipc::SendResult::sent);
    }
    const ipc::Channel delivery = ask_for(monitor.channel, a_grant(1));
    ASSERT_TRUE(next<ipc::GrantResult>(monitor.channel)) << "and nobody came before that";

    const auto now = undertakers_of(vault, 2 * each);
    EXPECT_TRUE(std::includes(now.begin(), now.end(), own.begin(), own.end()));
}

TEST(Undertaker, OfAMonitorGoesWithIt) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    const ipc::Channel undertaker = channel_of(monitor.undertakers[0]);

    monitor.channel.close();  // and not the undertaker's

    EXPECT_TRUE(hangs_up(undertaker));
}

TEST(Undertaker, ThatIsStuckEndsWithTheVault) {
    VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();
    const ipc::Channel stuck = channel_of(monitor.undertakers[0]);
    Lingering waiting = lingering();
    const std::array<BorrowedFd, 1> fds{waiting.socket.borrow()};
    const std::array<std::byte, 1> mark{};
    ASSERT_EQ(stuck.send_bytes(mark, fds), ipc::SendResult::sent);
    waiting.socket.reset();
    ASSERT_EQ(stuck.send_bytes(mark), ipc::SendResult::sent);
    EXPECT_FALSE(next_packet(stuck).bytes.empty()) << "it has received it, and closes";

    vault.kill_now();

    EXPECT_TRUE(hangs_up(stuck)) << "systemd would wait for it";
}

}  // namespace
}  // namespace iommud::test
