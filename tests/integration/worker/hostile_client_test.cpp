// A client that means harm: it loses its connection, or is served as slowly as it reads, and nothing more.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <sstream>

#include "daemon/worker/names.hpp"
#include "tests/integration/worker/fake_monitor.hpp"
#include "tests/integration/worker/raw_client.hpp"

namespace iommud::worker::test {
namespace {

class HostileClientTest : public WorkerTest {
  protected:
    void begin_raw() {
        spawn();
        introduce(ConnectionKind::client);
        raw = std::make_unique<RawClient>(std::move(connection));
    }
    // MiB of memory that the worker has in use.
    [[nodiscard]] double resident() const {
        std::istringstream statm(worker_file("statm"));
        double size = 0;
        double pages = 0;
        statm >> size >> pages;
        return pages * 4096 / (1024 * 1024);
    }
    static std::string ping(std::uint32_t fds = 0) {
        return RawCall(manager_path, "org.freedesktop.DBus.Peer", "Ping", "", fds).bytes();
    }
    std::unique_ptr<RawClient> raw;
};

TEST_F(HostileClientTest, BytesThatAreNoHandshakeEndTheConnection) {
    begin_raw();

    ASSERT_TRUE(raw->write("GET / HTTP/1.1\r\n\r\n"));

    EXPECT_TRUE(raw->gone_in_time());
    EXPECT_EQ(ending(), "exited 0");
}

TEST_F(HostileClientTest, HalfAHandshakeAndNothingMoreEndsTheConnection) {
    begin_raw();

    ASSERT_TRUE(raw->write(handshake.substr(0, 9)));

    EXPECT_TRUE(raw->gone_in_time());
    EXPECT_EQ(ending(), "exited 0");
}

// Not hostile, but as libdbus may write: nothing comes on the socket that would wake a server which has read it all.
TEST_F(HostileClientTest, CallsThatComeWithTheHandshakeAreAnswered) {
    begin_raw();
    const RawCall first(manager_path, "org.freedesktop.DBus.Introspectable", "Introspect", "");
    const RawCall second(manager_path, "org.freedesktop.DBus.Peer", "GetMachineId", "");

    ASSERT_TRUE(raw->write(std::string(handshake) + first.bytes() + second.bytes()));

    EXPECT_TRUE(raw->read_until("<method name=\"Acquire\">"));
    EXPECT_TRUE(raw->read_until("the machine's id is not told"));
}

TEST_F(HostileClientTest, NothingIsAskedForThatTheConnectionCannotCarry) {
    begin_raw();
    RawCall acquire(manager_path, manager_interface, "Acquire", "asa{sv}");
    acquire.u32(17);
    acquire.string("0000:00:04.0");
    acquire.align(4);
    acquire.u32(0);
    acquire.align(8);

    ASSERT_TRUE(raw->write(std::string("\0AUTH ANONYMOUS 78\r\nBEGIN\r\n", 27) + acquire.bytes()));

    EXPECT_TRUE(raw->read_until("carries no descriptors"));
    ipc::Packet packet;
    EXPECT_EQ(monitor.receive(packet), ipc::ReceiveResult::empty);
}

TEST_F(HostileClientTest, RubbishAfterTheHandshakeEndsTheConnection) {
    begin_raw();

    ASSERT_TRUE(raw->write(handshake));
    static_cast<void>(raw->write(std::string(4096, '\xa5')));

    EXPECT_TRUE(raw->gone_in_time());
    EXPECT_EQ(ending(), "exited 0");
}

TEST_F(HostileClientTest, AHandshakeWithoutEndEndsTheConnection) {
    begin_raw();

    static_cast<void>(raw->write(std::string(1, '\0') + std::string(1024 * 1024, 'A')));

    EXPECT_TRUE(raw->gone_in_time());
    EXPECT_EQ(ending(), "exited 0");
}

TEST_F(HostileClientTest, ACutOffMessageEndsWithTheConnection) {
    begin_raw();

    ASSERT_TRUE(raw->write(handshake));
    ASSERT_TRUE(raw->write(ping().substr(0, 20)));
    raw->close();

    EXPECT_EQ(ending(), "exited 0");
}

#ifndef IOMMUD_SANITIZED  // with sanitizers the memory limit is not set
TEST_F(HostileClientTest, AMessageOfAHundredMebibytesEndsTheConnection) {
    begin_raw();
    RawCall call(manager_path, manager_interface, "Acquire", "ay");
    call.string(std::string(100 * 1024 * 1024, 'x'));

    ASSERT_TRUE(raw->write(handshake));

    EXPECT_FALSE(raw->write(call.bytes()));
    EXPECT_TRUE(raw->gone_in_time());
    EXPECT_EQ(ending(), "exited 0");
}
#endif

TEST_F(HostileClientTest, DescriptorsThatNobodyAskedForAreClosed) {
    begin_raw();
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd mine(ends[0]);
    UniqueFd given(ends[1]);
    const std::vector<int> fds(253, given.get());

    ASSERT_TRUE(raw->write(handshake));
    ASSERT_TRUE(raw->read_until("AGREE_UNIX_FD"));
    ASSERT_TRUE(raw->write(ping(253), fds));
    given.reset();

    pollfd hang_up{mine.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&hang_up, 1, 5'000), 1);
    EXPECT_NE(hang_up.revents & POLLHUP, 0);
}

// sd-bus drops such a message and forgets its descriptors: they fill the worker's own table, and end it (I6).
TEST_F(HostileClientTest, DescriptorsThatNoMessageCountsEndTheConnection) {
    begin_raw();
    const std::vector<int> fds(253, STDIN_FILENO);

    ASSERT_TRUE(raw->write(handshake));
    ASSERT_TRUE(raw->read_until("AGREE_UNIX_FD"));
    for (int i = 0; i < 8; ++i) {
        static_cast<void>(raw->write(ping(), fds));
    }

    EXPECT_TRUE(raw->gone_in_time());
#ifndef IOMMUD_SANITIZED  // with them the exit code tells of what sd-bus forgot
    EXPECT_EQ(ending(), "exited 0");
#endif
}

TEST_F(HostileClientTest, WhoDoesNotReadRepliesIsNotReadFrom) {
    begin_raw();
    const std::string call =
        RawCall(manager_path, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "").bytes();
    std::string calls;
    for (int i = 0; i < 1024; ++i) {
        calls += call;
    }

    ASSERT_TRUE(raw->write(handshake));
    int accepted = 0;
    while (accepted < 1024 && raw->write(calls)) {
        ++accepted;
    }

    EXPECT_LT(accepted, 1024) << "the worker takes calls without end";
#ifndef IOMMUD_SANITIZED  // which keep freed memory
    EXPECT_LT(resident(), 32);
#endif
    EXPECT_TRUE(raw->read_until("0000:00:06.0"));  // and goes on where it stopped
}

class WhoDoesNotRead : public HostileClientTest {
  protected:
    // Changes of a lease, by `change`, until the worker has hung up or there were more than it keeps signals; whether
    // it did hang up.
    bool hangs_up_at(void (*change)(ipc::LeaseView&)) {
        begin_raw();
        EXPECT_TRUE(raw->write(handshake));
        EXPECT_TRUE(raw->write(ping()));
        EXPECT_TRUE(raw->read_until("AGREE_UNIX_FD\r\nl"));  // and the reply's first byte

        ipc::LeaseView view = lease_view(9, LeaseState::active);
        pollfd room{monitor.fd().get(), POLLOUT, 0};
        ipc::SendResult result = ipc::SendResult::sent;
        for (int i = 0; i < 50'000 && result != ipc::SendResult::closed; ++i) {
            change(view);
            result = monitor.send(view);
            static_cast<void>(::poll(&room, 1, 1'000));
        }
        return result == ipc::SendResult::closed;
    }
};

TEST_F(WhoDoesNotRead, SignalsLosesTheConnection) {
    EXPECT_TRUE(hangs_up_at([](ipc::LeaseView& view) { ++view.record.memory; }));
    EXPECT_EQ(ending(), "exited 0");
}

TEST_F(WhoDoesNotRead, AndMapsIsNotSentSignalsOfIt) {
    EXPECT_FALSE(hangs_up_at([](ipc::LeaseView& view) { ++view.mapped; }));
    EXPECT_TRUE(raw->write(ping()));
    EXPECT_TRUE(raw->read_until("l"));
}

}  // namespace
}  // namespace iommud::worker::test
