#include "tests/integration/monitor/monitor_process.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace iommud::test {
namespace {

constexpr int patience_ms = 30000;  // other work on the machine may take its time

bool readable(int fd) {
    pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, patience_ms) == 1;
}

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
}

template <class Call>
void must(Call result, const char* what) {
    if (result < 0) {
        throw std::runtime_error(errno_message(what, errno));
    }
}

}  // namespace

ipc::Packet next_packet(const ipc::Channel& channel) {
    ipc::Packet packet;
    if (!readable(channel.fd().get()) || channel.receive(packet) != ipc::ReceiveResult::packet) {
        packet.bytes.clear();
    }
    return packet;
}

ipc::Packet next_reply(const Served& served) {
    ipc::Packet packet = next_packet(served.worker);
    while (ipc::decode<ipc::LeaseView>(packet.bytes) || ipc::decode<ipc::LeaseGone>(packet.bytes) ||
           ipc::decode<ipc::DeviceView>(packet.bytes) || ipc::decode<ipc::ManagerView>(packet.bytes) ||
           ipc::decode<ipc::ForgetAnswers>(packet.bytes)) {
        packet = next_packet(served.worker);
    }
    return packet;
}

LeaseRecord held_lease(Mode mode) {
    return {.id = 5,
            .account_uid = ::getuid(),
            .account_groups = {},
            .holder_uid = ::getuid(),
            .holder_pid = 1,
            .endpoint = {},
            .mode = mode,
            .label = {},
            .rule = "edu",
            .memory = 4096,
            .created_usec = 1,
            .devices = {*PciAddress::parse("0000:00:04.0")}};
}

MonitorProcess::MonitorProcess(const std::vector<LeaseRecord>& held, const std::vector<ipc::HeldThing>& things,
                               const char* option, FreedMemory freed_memory, UniqueFd socket) {
    std::string pattern = std::filesystem::temp_directory_path() / "iommud-monitor.XXXXXX";
    work_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(work_ / "run" / "vault");
    std::filesystem::create_directories(work_ / "etc" / "policy.d");
    std::filesystem::permissions(work_ / "etc" / "policy.d", std::filesystem::perms(0755));
    std::ofstream(work_ / "etc" / "simulated-devices.json") << R"({"version": 1, "devices": [
        {"address": "0000:00:04.0", "vendor": "1234", "device": "11e8", "class": "00ff00", "group": 3,
         "capabilities": ["reset:flr"]},
        {"address": "0000:00:06.0", "vendor": "1234", "device": "11e8", "class": "00ff00", "group": 4,
         "capabilities": ["reset:flr"]},
        {"address": "0000:00:08.0", "vendor": "8086", "device": "10c9", "class": "020000", "group": 5,
         "capabilities": ["reset:flr", "sriov"]}]})";
    const std::string uid = std::to_string(::getuid());
    write_policy("10.json", R"({"version": 1, "accounts": [{"match": {"uids": ")" + uid +
                                R"("}, "memory": "12MiB"}], "rules": [{"id": "edu", "effect": "allow", "subjects": [)" +
                                R"({"uids": ")" + uid + R"("}], "devices": [{"address": "0000:00:04.0"}]}]})");

    const UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of(work_ / "run" / "vault" / "monitor");
    must(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
    must(::listen(listener.get(), 1), "listen");
    pid_ = ::fork();
    if (pid_ == 0) {
        const std::string run = work_ / "run";
        const std::string config = work_ / "etc";
        ::execl(IOMMUD_MONITOR, IOMMUD_MONITOR, "--kernel=simulated", "--run", run.c_str(), "--config", config.c_str(),
                option, nullptr);
        ::_exit(127);
    }
    if (!readable(listener.get())) {
        throw std::runtime_error("the monitor does not come to its vault");
    }
    vault_ = ipc::Channel(UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)));
    ipc::VaultHello hello;
    hello.kernel = KernelInterface::simulated;
    hello.freed_memory = freed_memory;
    static_cast<void>(vault_.send(hello));
    for (std::size_t i = 0; i < 4; ++i) {
        start_undertaker();
    }
    for (LeaseRecord record : held) {
        auto [keeper, monitors] = ipc::Channel::pair().value();
        const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
        const std::array<BorrowedFd, 2> fds{monitors.fd(), pidfd.borrow()};
        const bool without = record.label == being_opened || record.label == settling;
        static_cast<void>(vault_.send(ipc::HeldLease{.lease = record.id,
                                                     .successor = false,
                                                     .settles = record.label == settling,
                                                     .record = ipc::encode_value(record)},
                                      std::span(fds.data(), without ? 0 : 2)));
        keepers_.push_back(std::move(keeper));
    }
    for (const ipc::HeldThing& thing : things) {
        const std::array<BorrowedFd, 1> fds{socket.borrow()};
        static_cast<void>(vault_.send(thing, std::span(fds.data(), socket.valid() ? 1 : 0)));
    }
    socket.reset();
    static_cast<void>(vault_.send(ipc::HoldingsComplete{}));
}

// It ends when the monitor does, of which it hears by a hang-up.
void MonitorProcess::start_undertaker() const {
    static std::uint64_t next = 0;
    auto [monitors, own] = ipc::Channel::pair().value();
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::dup2(own.fd().get(), 3);
        ::close_range(4, ~0U, 0);
        ::execl(IOMMUD_UNDERTAKER, IOMMUD_UNDERTAKER, nullptr);
        ::_exit(127);
    }
    const std::array<BorrowedFd, 1> fds{monitors.fd()};
    static_cast<void>(vault_.send(ipc::UndertakerComing{++next}, fds));
}

MonitorProcess::~MonitorProcess() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    std::filesystem::remove_all(work_);
}

void MonitorProcess::stop(bool stopped) const {
    must(::kill(pid_, stopped ? SIGSTOP : SIGCONT), "signal the monitor");
}

bool MonitorProcess::alive() const {
    return ::waitpid(pid_, nullptr, WNOHANG) == 0;
}

void MonitorProcess::write_policy(const std::string& name, const std::string& text) const {
    const std::string path = policy_folder() / name;
    std::ofstream(path) << text;
    std::filesystem::permissions(path, std::filesystem::perms(0644));
}

std::string MonitorProcess::reload(const Served& admin, ipc::ManagerView* view) const {
    must(admin.worker.send(ipc::ReloadRequest{.cookie = 77}) == ipc::SendResult::sent ? 0 : -1, "reload");
    for (;;) {
        const ipc::Packet packet = next_packet(admin.worker);
        if (const auto failed = ipc::decode<ipc::RequestFailed>(packet.bytes)) {
            return failed->message;
        }
        if (const auto changed = ipc::decode<ipc::ManagerView>(packet.bytes); changed && view != nullptr) {
            *view = *changed;
        }
        if (packet.bytes.empty() || ipc::decode<ipc::RequestDone>(packet.bytes)) {
            return packet.bytes.empty() ? "no answer" : "";
        }
    }
}

Served MonitorProcess::connect(bool admin) const {
    UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of(work_ / "run" / (admin ? "admin/bus" : "bus"));
    must(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
    must(::send(client.get(), "", 1, 0), "send");
    Served served = take_place(2);
    served.client = std::move(client);
    return served;
}

Served MonitorProcess::system_bus_worker() const {
    return take_place(1);
}

Served MonitorProcess::take_place(std::size_t fds) const {
    // What it does of its own accord about leases that were held comes before.
    ipc::Packet packet = next_packet(vault_);
    while (ipc::decode<ipc::SetLimit>(packet.bytes) || ipc::decode<ipc::Hold>(packet.bytes)) {
        packet = next_packet(vault_);
    }
    const auto start = ipc::decode<ipc::StartWorker>(packet.bytes);
    if (!start || packet.fds.size() != fds) {
        throw std::runtime_error("no worker was started");
    }
    Served served{UniqueFd(), start->slot, ipc::Channel(std::move(packet.fds.back()))};
    while (!ipc::decode<ipc::ViewComplete>(packet.bytes)) {
        packet = next_packet(served.worker);
        if (packet.bytes.empty()) {
            throw std::runtime_error("the worker's view is not complete");
        }
    }
    return served;
}

std::optional<ipc::GrantLease> ask_for_a_lease(const MonitorProcess& monitor, const Served& client) {
    ipc::AcquireRequest request;
    request.devices = {*PciAddress::parse("0000:00:04.0")};
    request.memory = 4096;
    EXPECT_EQ(client.worker.send(request), ipc::SendResult::sent);
    return monitor.verb<ipc::GrantLease>();
}

ipc::Channel give_a_keeper(const MonitorProcess& monitor, LeaseId lease) {
    auto [monitors, keepers] = ipc::Channel::pair().value();
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    const BorrowedFd fds[] = {monitors.fd(), process.borrow()};
    EXPECT_EQ(monitor.vault().send(ipc::GrantResult{.lease = lease, .granted = true, .code = {}, .message = {}}, fds),
              ipc::SendResult::sent);
    return std::move(keepers);
}

}  // namespace iommud::test
