#include "tests/integration/vault/vault_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace iommud::test {
namespace {

bool readable(BorrowedFd fd) {
    pollfd waiting{fd.get(), POLLIN, 0};
    return ::poll(&waiting, 1, patience_ms) == 1;
}

// Asks again until `what` holds or patience ends: for states of other processes that nobody announces.
template <class What>
bool eventually(const What& what) {
    bool holds = what();
    for (int tries = 0; tries < patience_ms / 10 && !holds; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        holds = what();
    }
    return holds;
}

}  // namespace

ipc::Packet next_packet(const ipc::Channel& channel) {
    ipc::Packet packet;
    if (!readable(channel.fd()) || channel.receive(packet) != ipc::ReceiveResult::packet) {
        packet = {};
    }
    return packet;
}

bool hangs_up(const ipc::Channel& channel) {
    ipc::Packet packet;
    return readable(channel.fd()) && channel.receive(packet) == ipc::ReceiveResult::closed;
}

bool is_dropped(const ipc::Channel& vault) {
    ipc::Packet packet;
    do {
        packet = next_packet(vault);
    } while (!packet.bytes.empty());
    return vault.send(ipc::KillChild{}) == ipc::SendResult::closed;
}

bool exits(BorrowedFd pidfd) {
    return readable(pidfd);
}

std::optional<pid_t> child_of(pid_t parent, const std::string& name) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::ifstream file(entry.path() / "stat");
        std::string number;
        std::string command;
        std::string state;
        pid_t its_parent = 0;
        if (file >> number >> command >> state >> its_parent && its_parent == parent && command == "(" + name + ")") {
            return std::stoi(number);
        }
    }
    return std::nullopt;
}

VaultProcess::VaultProcess(const std::string& libexec) {
    std::string pattern = std::filesystem::temp_directory_path() / "iommud-vault-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
        throw std::runtime_error("mkdtemp");
    }
    folder_ = pattern;
    pid_ = ::fork();
    if (pid_ == 0) {
        ::execl(IOMMUD_VAULT_PROGRAM, "iommud-vault", "--kernel=simulated", "--run", folder_.c_str(), "--libexec",
                libexec.c_str(), nullptr);
        ::_exit(127);
    }
    if (!eventually([this] { return connect().open(); })) {
        throw std::runtime_error("the vault does not start");
    }
}

VaultProcess::~VaultProcess() {
    kill_now();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

ipc::Channel VaultProcess::connect() const {
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder_ / "vault" / "monitor";
    std::memcpy(address.sun_path, path.c_str(), std::min(path.size(), sizeof address.sun_path - 1));
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
               ? ipc::Channel(std::move(socket))
               : ipc::Channel();
}

VaultProcess::Greeting VaultProcess::greeted() const {
    Greeting greeting;
    const bool greets = eventually([this, &greeting] {
        greeting.channel = connect();
        const auto hello = next<ipc::VaultHello>(greeting.channel);
        greeting.hello = hello.value_or(ipc::VaultHello{});
        return hello.has_value();
    });
    for (ipc::Packet packet; greets;) {
        packet = next_packet(greeting.channel);
        if (auto lease = ipc::decode<ipc::HeldLease>(packet.bytes)) {
            greeting.leases.emplace_back(std::move(*lease), std::move(packet));
        } else if (auto thing = ipc::decode<ipc::HeldThing>(packet.bytes)) {
            greeting.things.emplace_back(std::move(*thing), std::move(packet));
        } else if (auto undertaker = ipc::decode<ipc::UndertakerComing>(packet.bytes)) {
            greeting.undertakers.emplace_back(*undertaker, std::move(packet));
        } else {
            EXPECT_TRUE(ipc::decode<ipc::HoldingsComplete>(packet.bytes));
            break;
        }
    }
    return greeting;
}

std::multiset<std::string> VaultProcess::descriptors() const {
    std::multiset<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/fd")) {
        std::error_code error;
        const std::string target = std::filesystem::read_symlink(entry.path(), error);
        found.insert(target.substr(0, target.find(':')));
    }
    return found;
}

std::multiset<std::string> VaultProcess::descriptors_at_rest() const {
    constexpr int for_as_long = 30;  // looks, 10 ms apart
    std::multiset<std::string> last;
    int same = 0;
    eventually([this, &last, &same] {
        auto now = descriptors();
        same = now == last ? same + 1 : 0;
        last = std::move(now);
        return same >= for_as_long;
    });
    return last;
}

int VaultProcess::stop() {
    ::kill(pid_, SIGTERM);
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
}

void VaultProcess::kill_now() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    }
}

ipc::GrantLease a_grant(LeaseId lease) {
    return {.lease = lease,
            .account_uid = 1000,
            .mode = Mode::managed,
            .reserve = 1 << 20,
            .memlock = 1 << 20,
            .memory_max = 1 << 24,
            .maps = 16,
            .devices = {*PciAddress::parse("0000:00:04.0")},
            .no_reset_allowed = {},
            .record = {std::byte{42}, std::byte{7}}};
}

ipc::Channel ask_for(const ipc::Channel& vault, const ipc::GrantLease& grant) {
    auto [ours, keepers] = ipc::Channel::pair().value();
    const std::array<BorrowedFd, 1> fds{keepers.fd()};
    EXPECT_EQ(vault.send(grant, fds), ipc::SendResult::sent);
    return std::move(ours);
}

}  // namespace iommud::test
