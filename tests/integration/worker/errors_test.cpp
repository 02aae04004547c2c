// Bad input, and the monitor's refusals.
#include <gmock/gmock.h>

#include "daemon/worker/names.hpp"
#include "tests/integration/worker/fake_monitor.hpp"
#include "tests/integration/worker/raw_client.hpp"

namespace iommud::worker::test {
namespace {

using testing::HasSubstr;

constexpr const char* invalid_argument = "org.iommud1.Error.InvalidArgument";

class BadInputTest : public WorkerTest {
  protected:
    Reply acquire(const std::vector<std::string>& devices, const std::function<void(sd_bus_message*)>& options) {
        return client->call(manager_path, manager_interface, "Acquire", [&](sd_bus_message* message) {
            write_strings(message, devices);
            options(message);
        });
    }
    Reply explain(const char* user) {
        return client->call(manager_path, manager_interface, "Explain", [&](sd_bus_message* message) {
            must(sd_bus_message_append(message, "a{sv}", 1, "user", "s", user), "append");
            write_strings(message, {"0000:00:04.0"});
            write_no_options(message);
        });
    }
    // The monitor has heard nothing, and the worker serves on.
    void expect_unharmed() {
        ipc::Packet packet;
        EXPECT_EQ(monitor.receive(packet), ipc::ReceiveResult::empty);
        EXPECT_EQ(client->property(manager_path, manager_interface, "Version"), "0.1.0");
    }
};

TEST_F(BadInputTest, AnOptionOfTheWrongTypeIsNamed) {
    begin();

    const Reply reply = acquire({"0000:00:04.0"}, [](sd_bus_message* message) {
        must(sd_bus_message_append(message, "a{sv}", 1, "memory", "s", "12MiB"), "append");
    });

    EXPECT_EQ(reply.error(), invalid_argument);
    EXPECT_EQ(reply.error_text(), "option 'memory' is of type 's', expected 't'");
    expect_unharmed();
}

TEST_F(BadInputTest, AnOptionWithAWholeTreeInItIsNamed) {
    begin();

    const Reply reply = acquire({"0000:00:04.0"}, [](sd_bus_message* message) {
        must(sd_bus_message_append(message, "a{sv}", 1, "label", "a{s(iv)}", 1, "x", 1, "v", "s", "deep"), "append");
    });

    EXPECT_EQ(reply.error(), invalid_argument);
    EXPECT_EQ(reply.error_text(), "option 'label' is of type 'a{s(iv)}', expected 's'");
    expect_unharmed();
}

TEST_F(BadInputTest, AnAddressThatIsNoneIsShown) {
    begin();

    const Reply reply = acquire({"/dev/vfio/../sda"}, write_no_options);

    EXPECT_EQ(reply.error(), invalid_argument);
    EXPECT_THAT(reply.error_text(), HasSubstr("'/dev/vfio/../sda'"));
    expect_unharmed();
}

TEST_F(BadInputTest, TenThousandDevicesAreCountedAndRefused) {
    begin();

    const Reply reply = acquire(std::vector<std::string>(10'000, "0000:00:04.0"), write_no_options);

    EXPECT_EQ(reply.error(), invalid_argument);
    EXPECT_EQ(reply.error_text(), "10000 devices were asked for, at most 32 in one request are allowed");
    expect_unharmed();
}

TEST_F(BadInputTest, AUidBeyondTheLargestIsRefused) {
    begin();

    EXPECT_EQ(explain("2147483648").error(), invalid_argument);
    EXPECT_EQ(explain("4294967296").error(), invalid_argument);
    expect_unharmed();
}

TEST_F(BadInputTest, ALabelOfAMegabyteIsRefusedWithAShortMessage) {
    begin();
    const std::string label(1024 * 1024, 'x');

    const Reply reply = acquire({"0000:00:04.0"}, [&label](sd_bus_message* message) {
        must(sd_bus_message_append(message, "a{sv}", 1, "label", "s", label.c_str()), "append");
    });

    EXPECT_EQ(reply.error(), invalid_argument);
    EXPECT_LT(reply.error_text().size(), 200U);
    expect_unharmed();
}

TEST_F(BadInputTest, ALabelWithNulInsideIsRefused) {
    spawn();
    introduce(ConnectionKind::client);
    RawClient raw(std::move(connection));
    RawCall call(manager_path, manager_interface, "Acquire", "asa{sv}");
    call.u32(0);
    const std::size_t devices = call.size();
    call.string("0000:00:04.0");
    call.patch_u32(devices - 4, static_cast<std::uint32_t>(call.size() - devices));
    call.u32(0);
    call.align(8);
    const std::size_t options = call.size();
    call.string("label");
    call.signature("s");
    call.string(std::string_view("a\0b", 3));
    call.patch_u32(options - 4, static_cast<std::uint32_t>(call.size() - options));

    ASSERT_TRUE(raw.write(handshake));
    ASSERT_TRUE(raw.write(call.bytes()));

    EXPECT_TRUE(raw.read_until(invalid_argument));
    ipc::Packet packet;
    EXPECT_EQ(monitor.receive(packet), ipc::ReceiveResult::empty);
}

TEST_F(BadInputTest, ASeventeenthOptionIsRefused) {
    begin();

    const Reply reply = acquire({"0000:00:04.0"}, [](sd_bus_message* message) {
        must(sd_bus_message_open_container(message, 'a', "{sv}"), "open");
        for (int i = 0; i < 17; ++i) {
            append_entry(message, "mode", "s", std::string("managed"));
        }
        must(sd_bus_message_close_container(message), "close");
    });

    EXPECT_EQ(reply.error(), invalid_argument);
    expect_unharmed();
}

TEST_F(BadInputTest, APathThatIsNoLeaseCannotBeRevoked) {
    begin(ConnectionKind::admin);

    const Reply reply = client->call(manager_path, manager_interface, "Revoke", [](sd_bus_message* message) {
        must(sd_bus_message_append(message, "ots", "/org/iommud1/lease/x", std::uint64_t{0}, ""), "append");
        write_no_options(message);
    });

    EXPECT_EQ(reply.error(), "org.iommud1.Error.NoSuchLease");
    expect_unharmed();
}

TEST_F(BadInputTest, ADeviceThatIsNotThereIsSaidByName) {
    begin();

    EXPECT_EQ(client->property("/org/iommud1/device/_30000_3a00_3a1f_2e0", device_interface, "State"),
              "org.iommud1.Error.NoSuchDevice");
    expect_unharmed();
}

TEST_F(BadInputTest, WhateverIsAskedOfSuchADeviceIsRefusedByThatName) {
    begin();
    constexpr const char* absent = "/org/iommud1/device/_30000_3a00_3a1f_2e0";

    const Reply introspection = client->call(absent, "org.freedesktop.DBus.Introspectable", "Introspect", {});
    const Reply method = client->call(absent, device_interface, "Nonsense", {});
    const Reply lease = client->call("/org/iommud1/lease/99", lease_interface, "Nonsense", {});

    EXPECT_EQ(introspection.error(), "org.iommud1.Error.NoSuchDevice");
    EXPECT_EQ(method.error(), "org.iommud1.Error.NoSuchDevice");
    EXPECT_EQ(lease.error(), "org.iommud1.Error.NoSuchLease");
    expect_unharmed();
}

TEST_F(BadInputTest, TheSixtyFifthRequestAtATimeIsRefused) {
    begin();
    for (int i = 0; i < 64; ++i) {
        static_cast<void>(client->start(manager_path, manager_interface, "GetAccounts", write_no_options));
        static_cast<void>(next<ipc::AccountsRequest>());
    }

    const Reply reply = client->call(manager_path, manager_interface, "GetAccounts", write_no_options);

    EXPECT_EQ(reply.error(), invalid_argument);
    EXPECT_THAT(reply.error_text(), HasSubstr("64 requests"));
    expect_unharmed();
}

class RefusalTest : public WorkerTest, public testing::WithParamInterface<std::uint32_t> {};

TEST_P(RefusalTest, OfTheMonitorHasItsNameAndMessage) {
    const auto code = static_cast<ErrorCode>(GetParam());
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    tell(ipc::RequestFailed{.cookie = request.cookie, .code = code, .message = "asked 2, limit 1"});
    const Reply reply = client->reply(call);

    EXPECT_EQ(reply.error(), dbus_error_name(code));
    EXPECT_EQ(reply.error_text(), "asked 2, limit 1");
}
INSTANTIATE_TEST_SUITE_P(EveryCode, RefusalTest, testing::Range(0U, error_code_count));

TEST_F(WorkerTest, ADeliveryThatNeverComesFailsWithTheMonitorsReason) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    auto [keeper, end] = ipc::Channel::pair().value();
    tell(ipc::DeliveryComing{.cookie = request.cookie, .lease = lease_view(9, LeaseState::granting)}, {end.fd()});
    keeper.close();
    tell(ipc::RequestFailed{.cookie = request.cookie, .code = ErrorCode::device_busy, .message = "in use"});

    EXPECT_EQ(client->reply(call).error(), "org.iommud1.Error.DeviceBusy");
}

TEST_F(WorkerTest, ADeliveryWithADeviceNobodyAskedForReachesNobody) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    deliver(request.cookie, 9, {"lease", "device:0000:00:06.0"});

    EXPECT_EQ(client->reply(call).error(), "org.iommud1.Error.Internal");
}

TEST_F(WorkerTest, AFailureThatCrossesADeliveryIsIgnored) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    deliver(request.cookie, 9, {"lease"});
    ASSERT_EQ(client->reply(call).error(), "");
    tell(ipc::RequestFailed{.cookie = request.cookie, .code = ErrorCode::internal, .message = "the keeper died"});

    EXPECT_EQ(client->property(manager_path, manager_interface, "Version"), "0.1.0");
}

}  // namespace
}  // namespace iommud::worker::test
