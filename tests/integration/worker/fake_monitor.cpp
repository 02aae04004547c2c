#include "tests/integration/worker/fake_monitor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace iommud::worker::test {
namespace {

constexpr int patience_ms = 10'000;

ipc::DeviceView device_view(const PciAddress& address, int group) {
    return {.address = address,
            .vendor = 0x1234,
            .device = 0x11e8,
            .class_code = 0x00ff00,
            .name = "edu",
            .iommu_group = group,
            .driver = "vfio-pci",
            .state = DeviceState::available,
            .reason = "",
            .lease = 0,
            .numa_node = -1,
            .capabilities = {"reset"},
            .path = "00:04.0",
            .slot = "",
            .tainted = false};
}

}  // namespace

WorkerTest::~WorkerTest() {
    if (worker > 0 && !ended_) {
        ::kill(worker, SIGKILL);
        ::waitpid(worker, nullptr, 0);
    }
}

void WorkerTest::execute(BorrowedFd monitor_end, BorrowedFd served) {
    // Out of the way of 3 and 4 first, which they become.
    const int theirs = ::fcntl(monitor_end.get(), F_DUPFD, 100);
    const int client_end = served.valid() ? ::fcntl(served.get(), F_DUPFD, 100) : -1;
    ::dup2(theirs, ipc::worker_monitor_fd);
    ::dup2(client_end, ipc::worker_connection_fd);
    // As the vault does it: nothing but 2, 3 and 4 is open.
    ::close(STDIN_FILENO);
    ::close(STDOUT_FILENO);
    ::syscall(SYS_close_range, served.valid() ? 5U : 4U, ~0U, 0U);
    ::execl(IOMMUD_WORKER_PROGRAM, "iommud-worker", static_cast<char*>(nullptr));
    ::_exit(127);
}

void WorkerTest::spawn() {
    auto channels = ipc::Channel::pair().value();
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    monitor = std::move(channels.first);
    connection = UniqueFd(ends[0]);
    const UniqueFd served(ends[1]);
    worker = ::fork();
    ASSERT_GE(worker, 0);
    if (worker == 0) {
        execute(channels.second.fd(), served.borrow());
    }
}

void WorkerTest::spawn_on_bus(const std::string& address) {
    auto channels = ipc::Channel::pair().value();
    monitor = std::move(channels.first);
    worker = ::fork();
    ASSERT_GE(worker, 0);
    if (worker == 0) {
        ::setenv("DBUS_SYSTEM_BUS_ADDRESS", address.c_str(), 1);
        execute(channels.second.fd(), BorrowedFd());
    }
}

void WorkerTest::introduce(ConnectionKind kind, const std::vector<std::string>& features) {
    tell(ipc::WorkerStart{.kind = kind, .uid = 1000});
    tell(ipc::ManagerView{.version = "0.1.0",
                          .kernel = KernelInterface::simulated,
                          .features = features,
                          .policy_generation = 7,
                          .degraded = {}});
    tell(device_view(first_device, 3));
    tell(device_view(second_device, 4));
    tell(ipc::ViewComplete{});
}

void WorkerTest::begin(ConnectionKind kind) {
    spawn();
    introduce(kind);
    client = std::make_unique<Client>(std::move(connection));
}

ipc::Bytes WorkerTest::next_frame() {
    // The client's handshake and calls go on meanwhile.
    pollfd waiting{monitor.fd().get(), POLLIN, 0};
    for (int waited = 0; ::poll(&waiting, 1, client ? 0 : 10) == 0 && waited < patience_ms / 10; ++waited) {
        static_cast<void>(client && client->pump(std::chrono::milliseconds(10)));
    }
    ipc::Packet packet;
    EXPECT_EQ(monitor.receive(packet), ipc::ReceiveResult::packet) << "the worker sends nothing";
    EXPECT_TRUE(packet.fds.empty());
    return packet.bytes;
}

void WorkerTest::await_taken() {
    for (int waited = 0; waited < patience_ms * 10; ++waited) {
        int unread = 0;
        ASSERT_EQ(::ioctl(monitor.fd().get(), SIOCOUTQ, &unread), 0);
        if (unread == 0) {
            return;
        }
        ::usleep(100);
    }
    FAIL() << "the worker does not take a frame";
}

ipc::LeaseView WorkerTest::lease_view(LeaseId lease, LeaseState state) {
    ipc::LeaseView view;
    view.record.id = lease;
    view.record.account_uid = 1000;
    view.record.holder_uid = 1000;
    view.record.memory = 4096;
    view.record.devices = {first_device};
    view.state = state;
    return view;
}

void WorkerTest::deliver(std::uint64_t cookie, LeaseId lease, const std::vector<std::string>& names) {
    auto [keeper, end] = ipc::Channel::pair().value();
    tell(ipc::DeliveryComing{.cookie = cookie, .lease = lease_view(lease, LeaseState::granting)}, {end.fd()});
    std::vector<UniqueFd> owned;
    std::vector<BorrowedFd> fds;
    for (const std::string& name : names) {
        owned.emplace_back(::memfd_create(name.c_str(), MFD_CLOEXEC));
        fds.push_back(owned.back().borrow());
    }
    ASSERT_EQ(keeper.send(ipc::Delivery{.lease = lease, .names = names}, fds), ipc::SendResult::sent);
}

std::string WorkerTest::ending() {
    if (ended_) {
        return *ended_;
    }
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, worker, 0)));
    pollfd waiting{process.get(), POLLIN, 0};
    if (::poll(&waiting, 1, patience_ms) != 1) {
        return "runs";
    }
    int status = 0;
    ::waitpid(worker, &status, 0);
    ended_ = WIFEXITED(status) ? fmt::format("exited {}", WEXITSTATUS(status))
                               : fmt::format("killed by {}", WTERMSIG(status));
    return *ended_;
}

std::string WorkerTest::worker_file(const char* name) const {
    std::ifstream file(fmt::format("/proc/{}/{}", worker, name));
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::vector<std::string> WorkerTest::worker_fds() const {
    std::vector<std::string> fds;
    for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", worker))) {
        std::error_code error;
        fds.push_back(entry.path().filename().string() + " " + std::filesystem::read_symlink(entry, error).string());
    }
    std::sort(fds.begin(), fds.end());
    return fds;
}

}  // namespace iommud::worker::test
