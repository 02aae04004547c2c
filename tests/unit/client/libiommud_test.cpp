// libiommud as programs see it: the C++ layer, through the C ABI of the shared library.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <future>
#include <iommud/iommud.hpp>

#include "tests/unit/client/fake_daemon.hpp"
#include "tests/unit/client/fake_keeper.hpp"

extern "C" int iommud_abi_test(void);

namespace iommud::client {
namespace {

constexpr const char* device = "0000:00:04.0";

Error error_of(const auto& call) {
    try {
        call();
    } catch (const Error& error) {
        return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return Error(iommud_failure{});
}

TEST(LibIommud, AcquiresALeaseWithItsDescriptors) {
    const FakeDaemon daemon;

    const Lease lease = Connection(daemon.address()).acquire({device}, {.memory = 12 << 20, .label = "driver"});

    EXPECT_EQ(lease.path(), "/org/iommud1/lease/1");
    EXPECT_EQ(::fcntl(lease.channel(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(::fcntl(lease.device(device), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(lease.device("0000:00:05.0"), -1);
    EXPECT_FALSE(lease.simulated());
    EXPECT_EQ(daemon.last_request().devices, std::vector<std::string>{device});
    EXPECT_EQ(daemon.last_request().memory, 12U << 20);
    EXPECT_EQ(daemon.last_request().mode, "managed");
    EXPECT_EQ(daemon.last_request().label, "driver");
}

TEST(LibIommud, TriesAgainWhileOthersFillTheDaemonsQueue) {
    const UniqueFd daemon(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un unnamed{.sun_family = AF_UNIX, .sun_path = {}};
    sockaddr_un name{};
    socklen_t size = sizeof name;
    ASSERT_EQ(::bind(daemon.get(), reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed.sun_family), 0);
    ASSERT_EQ(::listen(daemon.get(), 0), 0);
    ASSERT_EQ(::getsockname(daemon.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
    std::vector<UniqueFd> others;
    do {
        others.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    } while (::connect(others.back().get(), reinterpret_cast<const sockaddr*>(&name), size) == 0);
    ASSERT_EQ(errno, EAGAIN);
    const std::string address =
        "unix:abstract=" + std::string(name.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);

    auto connected = std::async(std::launch::async, [&address] {
        iommud_connection* connection = nullptr;
        const int result = iommud_connect(address.c_str(), &connection, nullptr);
        iommud_disconnect(connection);
        return result;
    });

    EXPECT_EQ(connected.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
    std::vector<UniqueFd> accepted;
    do {
        accepted.emplace_back(::accept4(daemon.get(), nullptr, nullptr, SOCK_CLOEXEC));
    } while (connected.wait_for(std::chrono::milliseconds(1)) == std::future_status::timeout);
    EXPECT_EQ(connected.get(), 0);
}

TEST(LibIommud, ListsTheDescriptorsOfALease) {
    const FakeDaemon daemon;
    iommud_connection* connection = nullptr;
    iommud_lease* lease = nullptr;
    const char* const devices[] = {device};
    ASSERT_EQ(iommud_connect(daemon.address().c_str(), &connection, nullptr), 0);
    ASSERT_EQ(iommud_acquire(connection, devices, 1, nullptr, &lease, nullptr), 0);
    iommud_disconnect(connection);

    EXPECT_EQ(iommud_lease_fd_count(lease), 2U);
    EXPECT_STREQ(iommud_lease_fd_name(lease, 0), "lease");
    EXPECT_STREQ(iommud_lease_fd_name(lease, 1), "device:0000:00:04.0");
    EXPECT_EQ(iommud_lease_fd_name(lease, 2), nullptr);
    iommud_lease_close(lease);
}

TEST(LibIommud, SaysWhenTheKernelIsSimulated) {
    const FakeDaemon daemon({.simulated = true});

    EXPECT_TRUE(Connection(daemon.address()).acquire({device}).simulated());
}

TEST(LibIommud, PassesTheDaemonsErrorOn) {
    const FakeDaemon daemon({.error_name = "org.iommud1.Error.AccessDenied", .error_message = "no rule for bob"});
    Connection connection(daemon.address());

    const Error error = error_of([&connection] { (void)connection.acquire({device}); });

    EXPECT_EQ(error.code(), IOMMUD_ERROR_ACCESS_DENIED);
    EXPECT_EQ(error.name(), "org.iommud1.Error.AccessDenied");
    EXPECT_STREQ(error.what(), "no rule for bob");
    EXPECT_EQ(error.exit_code(), 3);
}

TEST(LibIommud, ADaemonThatHangsUpIsNoDaemon) {
    const FakeDaemon daemon({.hang_up = true});
    Connection connection(daemon.address());

    EXPECT_EQ(error_of([&connection] { (void)connection.acquire({device}); }).code(), IOMMUD_ERROR_NO_DAEMON);
}

TEST(LibIommud, AnAnswerWithoutALeaseDescriptorIsAProtocolError) {
    const FakeDaemon daemon({.fd_names = {"device:0000:00:04.0"}});
    Connection connection(daemon.address());

    EXPECT_EQ(error_of([&connection] { (void)connection.acquire({device}); }).code(), IOMMUD_ERROR_PROTOCOL);
}

TEST(LibIommud, AnAnswerThatNamesADescriptorTwiceIsAProtocolError) {
    const FakeDaemon daemon({.fd_names = {"lease", "lease"}});
    Connection connection(daemon.address());

    EXPECT_EQ(error_of([&connection] { (void)connection.acquire({device}); }).code(), IOMMUD_ERROR_PROTOCOL);
}

TEST(LibIommud, AClosedLeaseHangsUpItsChannel) {
    lib::FakeKeeper keeper;
    UniqueFd channel = keeper.take_client_end();
    {
        const Lease lease = Lease::adopt(channel.release());
        EXPECT_GE(lease.channel(), 0);
    }

    EXPECT_TRUE(keeper.hung_up());
}

TEST(LibIommud, MapsMemoryWhereItIsAsked) {
    lib::FakeKeeper keeper;
    Lease lease = Lease::adopt(keeper.take_client_end().release());
    const Memory memory(1 << 20);
    keeper.say_reply(1, 0x1000000);

    const std::uint64_t iova = lease.map(memory, Access::read_write, 0x1000000);
    const lib::SeenRequest seen = keeper.next_request();

    EXPECT_EQ(iova, 0x1000000U);
    EXPECT_EQ(seen.request.length, 1U << 20);
    EXPECT_EQ(seen.request.flags, static_cast<std::uint32_t>(IOMMUD_MAP_READ | IOMMUD_MAP_WRITE | IOMMUD_MAP_FIXED));
}

TEST(LibIommud, AReplyThatRefusesIsThrown) {
    lib::FakeKeeper keeper;
    Lease lease = Lease::adopt(keeper.take_client_end().release());
    const Memory memory(4096);
    keeper.say_reply(1, 2048, IOMMUD_ERROR_MEMORY_LIMIT);

    const Error error = error_of([&lease, &memory] { lease.map(memory, Access::read); });

    EXPECT_EQ(error.value(), 2048U);
    EXPECT_EQ(error.exit_code(), 5);
}

TEST(LibIommud, TellsOfEvents) {
    lib::FakeKeeper keeper;
    Lease lease = Lease::adopt(keeper.take_client_end().release());
    keeper.say_event(IOMMUD_RELEASE_REQUESTED, 99);

    const Event requested = lease.next_event();
    const Event nothing = lease.next_event(std::chrono::milliseconds(0));
    keeper.close();
    const Event ended = lease.next_event();

    EXPECT_EQ(requested.kind, IOMMUD_EVENT_RELEASE_REQUESTED);
    EXPECT_EQ(requested.deadline, 99U);
    EXPECT_EQ(nothing.kind, IOMMUD_EVENT_NONE);
    EXPECT_EQ(ended.kind, IOMMUD_EVENT_ENDED);
}

TEST(LibIommud, AdoptsNothingButALeaseChannel) {
    UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    UniqueFd stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

    EXPECT_EQ(error_of([&null] { (void)Lease::adopt(null.get()); }).code(), IOMMUD_ERROR_SYSTEM);
    EXPECT_EQ(error_of([&stream] { (void)Lease::adopt(stream.get()); }).code(), IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(::fcntl(stream.get(), F_GETFD), FD_CLOEXEC);  // still the caller's
}

TEST(LibIommud, RefusesOptionsOfAnotherVersion) {
    const FakeDaemon daemon;
    iommud_connection* connection = nullptr;
    iommud_lease* lease = nullptr;
    const char* const devices[] = {device};
    const iommud_acquire_options options{.size = 8, .mode = nullptr, .label = nullptr, .memory = 0};
    ASSERT_EQ(iommud_connect(daemon.address().c_str(), &connection, nullptr), 0);

    EXPECT_EQ(iommud_acquire(connection, devices, 1, &options, &lease, nullptr), IOMMUD_ERROR_INVALID_ARGUMENT);

    EXPECT_EQ(lease, nullptr);
    iommud_disconnect(connection);
}

TEST(LibIommud, IsUsableFromC) {
    EXPECT_EQ(iommud_abi_test(), 0);
}

TEST(LibIommud, TheDefaultAddressNeedsRoom) {
    std::array<char, 4> small{};
    std::array<char, 4096> large{};

    EXPECT_EQ(iommud_default_address(small.data(), small.size(), nullptr), IOMMUD_ERROR_SYSTEM);
    EXPECT_EQ(iommud_default_address(large.data(), large.size(), nullptr), 0);
}

}  // namespace
}  // namespace iommud::client
