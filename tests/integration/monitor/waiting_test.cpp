// Whatever a stranger has put into a socket of the monitor's: the monitor does not wait for its close (I10).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/monitor/endpoint.hpp"
#include "tests/integration/lingering.hpp"
#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

const PciAddress edu = *PciAddress::parse("0000:00:04.0");

void expect_served(const MonitorProcess& monitor, const Served& served) {
    ASSERT_EQ(served.worker.send(ipc::AccountsRequest{.cookie = 9}), ipc::SendResult::sent);
    EXPECT_TRUE(ipc::decode<ipc::AccountsEntries>(next_reply(served).bytes)) << "it waits";
    EXPECT_TRUE(monitor.alive());
}

// A listening socket without a name that descriptors can be sent to, with a connection in its queue that has one.
UniqueFd listener_with(const Lingering& waiting) {
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un unnamed{.sun_family = AF_UNIX, .sun_path = {}};
    sockaddr_un name{};
    socklen_t size = sizeof name;
    EXPECT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed.sun_family), 0);
    EXPECT_EQ(::listen(listener.get(), 8), 0);
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
    const ipc::Channel client(UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    EXPECT_EQ(::connect(client.fd().get(), reinterpret_cast<const sockaddr*>(&name), size), 0);
    const std::array<BorrowedFd, 1> fds{waiting.socket.borrow()};
    EXPECT_EQ(client.send_bytes(std::array<std::byte, 1>{}, fds), ipc::SendResult::sent);
    return listener;
}

TEST(WaitingMonitor, ClosesASocketWithConnectionsInItsQueue) {
    Lingering waiting = lingering();
    UniqueFd listener = listener_with(waiting);
    waiting.socket.reset();
    monitor::EndpointRecord ended;
    ended.id = "box";
    ended.pid = 1;
    ended.start = 1;
    const MonitorProcess monitor({}, {{"endpoint/box", ipc::encode_value(ended)}}, "--verbose",
                                 FreedMemory::unreachable, std::move(listener));

    ASSERT_TRUE(monitor.verb<ipc::Unhold>());

    expect_served(monitor, monitor.connect());
}

TEST(WaitingMonitor, DropsADescriptorThatAWorkerSends) {
    Lingering waiting = lingering();
    const MonitorProcess monitor;
    const Served hostile = monitor.connect();
    const Served other = monitor.connect();
    const std::array<BorrowedFd, 1> fds{waiting.socket.borrow()};

    const ipc::SendResult sent = hostile.worker.send(ipc::AccountsRequest{}, fds);

    if (kernel_refuses_descriptors()) {
        EXPECT_EQ(sent, ipc::SendResult::failed) << "SO_PASSRIGHTS";
    } else {
        waiting.socket.reset();
        const auto killed = monitor.verb<ipc::KillChild>();
        ASSERT_TRUE(killed);
        EXPECT_EQ(killed->id, hostile.slot);
    }
    expect_served(monitor, other);
}

TEST(WaitingMonitor, DropsADescriptorThatAKeeperSends) {
    Lingering waiting = lingering();
    const MonitorProcess monitor({held_lease(Mode::managed)});
    static_cast<void>(monitor.verb<ipc::SetLimit>());
    const Served other = monitor.connect();

    ipc::KeeperReport active;
    active.state = LeaseState::active;
    static_cast<void>(monitor.keeper_says(0, active, waiting.socket.borrow()));
    waiting.socket.reset();

    const auto killed = monitor.verb<ipc::KillChild>();
    ASSERT_TRUE(killed);
    EXPECT_EQ(killed->kind, ipc::ChildKind::keeper);
    expect_served(monitor, other);
}

}  // namespace
}  // namespace iommud::test
