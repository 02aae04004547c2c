// What a client gets from a worker, with a monitor that plays along.
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <csignal>

#include "daemon/worker/names.hpp"
#include "tests/integration/worker/fake_monitor.hpp"

namespace iommud::worker::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* lease_nine = "/org/iommud1/lease/9";

// The number that the worker gave its message, counted up from one to the next.
std::uint64_t serial_of(const Reply& message) {
    std::uint64_t serial = 0;
    EXPECT_GE(sd_bus_message_get_cookie(message.message.get(), &serial), 0);
    return serial;
}

TEST_F(WorkerTest, AnswersPropertiesFromWhatTheMonitorTold) {
    begin();

    EXPECT_EQ(client->property(manager_path, manager_interface, "Version"), "0.1.0");
    EXPECT_EQ(client->property(manager_path, manager_interface, "KernelInterface"), "simulated");
    EXPECT_EQ(client->property(manager_path, manager_interface, "PolicyGeneration"), "7");
    EXPECT_EQ(client->property(first_device_path, device_interface, "Address"), "0000:00:04.0");
    EXPECT_EQ(client->property(first_device_path, device_interface, "VendorId"), "4660");
    EXPECT_EQ(client->property(first_device_path, device_interface, "IommuGroup"), "3");
    EXPECT_EQ(client->property(first_device_path, device_interface, "State"), "available");
    EXPECT_EQ(client->property(first_device_path, device_interface, "Lease"), "/");
    EXPECT_EQ(client->property(first_device_path, device_interface, "Tainted"), "false");
}

TEST_F(WorkerTest, ListsDevicesAndLeasesToTheObjectManager) {
    begin();
    tell(lease_view(9, LeaseState::active));

    const Reply reply = client->call(manager_path, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects");

    ASSERT_EQ(reply.error(), "");
    std::vector<std::string> paths;
    ASSERT_GT(sd_bus_message_enter_container(reply.message.get(), 'a', "{oa{sa{sv}}}"), 0);
    while (sd_bus_message_enter_container(reply.message.get(), 'e', "oa{sa{sv}}") > 0) {
        const char* path = nullptr;
        ASSERT_GT(sd_bus_message_read_basic(reply.message.get(), 'o', &path), 0);
        paths.emplace_back(path);
        ASSERT_GE(sd_bus_message_skip(reply.message.get(), "a{sa{sv}}"), 0);
        ASSERT_GE(sd_bus_message_exit_container(reply.message.get()), 0);
    }
    EXPECT_THAT(paths, testing::IsSupersetOf(
                           {std::string(lease_nine), std::string(first_device_path), device_path(second_device)}));
}

TEST_F(WorkerTest, AcquireGivesTheKeepersDescriptorsUnderTheirNames) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    deliver(request.cookie, 9, {"lease", "device:0000:00:04.0"});
    const Reply reply = client->reply(call);

    EXPECT_EQ(request.devices, std::vector{first_device});
    EXPECT_EQ(request.memory, 4096U);
    EXPECT_EQ(request.label, "test");
    ASSERT_EQ(reply.error(), "") << reply.error_text();
    const char* path = nullptr;
    const char* names[2] = {};
    int fds[2] = {-1, -1};
    ASSERT_GT(sd_bus_message_read(reply.message.get(), "oa(sh)", &path, 2, &names[0], &fds[0], &names[1], &fds[1]), 0);
    EXPECT_STREQ(path, lease_nine);
    EXPECT_STREQ(names[0], "lease");
    EXPECT_STREQ(names[1], "device:0000:00:04.0");
    struct stat status {};
    EXPECT_EQ(::fstat(fds[1], &status), 0);
    const char* keys[4] = {};
    int simulated = 0;
    std::uint32_t account = 0;
    std::uint64_t memory = 0;
    std::int32_t group = 0;
    ASSERT_GT(sd_bus_message_read(reply.message.get(), "a{sv}", 4, &keys[0], "b", &simulated, &keys[1], "u", &account,
                                  &keys[2], "t", &memory, &keys[3], "ai", 1, &group),
              0);
    EXPECT_STREQ(keys[0], "simulated");
    EXPECT_EQ(simulated, 1);
    EXPECT_EQ(account, 1000U);
    EXPECT_EQ(memory, 4096U);
    EXPECT_EQ(group, 3);
}

TEST_F(WorkerTest, ALeaseIsActiveForItsClientOnceItIsDelivered) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    tell(lease_view(9, LeaseState::granting));
    deliver(request.cookie, 9, {"lease"});
    ASSERT_EQ(client->reply(call).error(), "");

    EXPECT_EQ(client->property(lease_nine, lease_interface, "State"), "active");
}

TEST_F(WorkerTest, AfterAcquireTheClientSeesItsLeaseAndDeviceThoughTheMonitorHasNotToldYet) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    deliver(request.cookie, 9, {"lease"});
    ASSERT_EQ(client->reply(call).error(), "");

    EXPECT_EQ(client->property(lease_nine, lease_interface, "State"), "active");
    EXPECT_EQ(client->property(first_device_path, device_interface, "State"), "leased");
}

TEST_F(WorkerTest, WhatWasDeliveredIsSignalledAfterTheAnswerThoughTheMonitorSaysNothing) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    deliver(next<ipc::AcquireRequest>().cookie, 9, {"lease"});
    const Reply reply = client->reply(call);
    const Reply added = client->signal("InterfacesAdded");
    const Reply changed = client->signal("PropertiesChanged");

    ASSERT_EQ(reply.error(), "");
    ASSERT_NE(added.message, nullptr);
    const char* path = nullptr;
    ASSERT_GT(sd_bus_message_read(added.message.get(), "o", &path), 0);
    EXPECT_STREQ(path, lease_nine);
    ASSERT_NE(changed.message, nullptr);
    EXPECT_STREQ(sd_bus_message_get_path(changed.message.get()), first_device_path);
    EXPECT_LT(serial_of(reply), serial_of(added));
}

TEST_F(WorkerTest, TheSignalsOfADeliveryWaitForWhatItsClientAsksNext) {
    begin();
    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    auto [keeper, end] = ipc::Channel::pair().value();
    tell(ipc::DeliveryComing{.cookie = request.cookie, .lease = lease_view(9, LeaseState::granting)}, {end.fd()});

    ASSERT_EQ(::kill(worker, SIGSTOP), 0);  // so that it finds both at once
    const UniqueFd given(::memfd_create("lease", MFD_CLOEXEC));
    const BorrowedFd fds[] = {given.borrow()};
    ASSERT_EQ(keeper.send(ipc::Delivery{.lease = 9, .names = {"lease"}}, fds), ipc::SendResult::sent);
    const auto asks_next = client->start(manager_path, "org.freedesktop.DBus.Peer", "Ping");
    ASSERT_TRUE(client->pump(std::chrono::milliseconds(10)));
    ASSERT_EQ(::kill(worker, SIGCONT), 0);
    const Reply acquired = client->reply(call);
    const Reply next_answer = client->reply(asks_next);
    const Reply added = client->signal("InterfacesAdded");

    ASSERT_EQ(acquired.error(), "");
    ASSERT_EQ(next_answer.error(), "");
    ASSERT_NE(added.message, nullptr);
    EXPECT_LT(serial_of(next_answer), serial_of(added));
}

TEST_F(WorkerTest, ALeaseThatEndsAtOnceIsSignalledToComeAndThenToGo) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    deliver(next<ipc::AcquireRequest>().cookie, 9, {"lease"});
    ASSERT_EQ(client->reply(call).error(), "");
    tell(ipc::LeaseGone{.lease = 9});
    const Reply added = client->signal("InterfacesAdded");
    const Reply removed = client->signal("InterfacesRemoved");

    ASSERT_NE(added.message, nullptr);
    ASSERT_NE(removed.message, nullptr);
    EXPECT_LT(serial_of(added), serial_of(removed));
}

TEST_F(WorkerTest, ALeaseThatEndedBeforeItsDeliveryWasReadIsNotThere) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    auto [keeper, end] = ipc::Channel::pair().value();
    tell(ipc::DeliveryComing{.cookie = request.cookie, .lease = lease_view(9, LeaseState::granting)}, {end.fd()});
    tell(ipc::LeaseGone{.lease = 9});
    const UniqueFd given(::memfd_create("lease", MFD_CLOEXEC));
    const BorrowedFd fds[] = {given.borrow()};
    ASSERT_EQ(keeper.send(ipc::Delivery{.lease = 9, .names = {"lease"}}, fds), ipc::SendResult::sent);
    ASSERT_EQ(client->reply(call).error(), "");

    EXPECT_EQ(client->property(lease_nine, lease_interface, "State"), "org.iommud1.Error.NoSuchLease");
}

TEST_F(WorkerTest, AddGivesTheNewDevicesDescriptors) {
    begin();
    tell(lease_view(9, LeaseState::active));

    const auto call = client->start(lease_nine, lease_interface, "Add", [](sd_bus_message* message) {
        write_strings(message, {"0000:00:06.0"});
        write_no_options(message);
    });
    const auto request = next<ipc::AddRequest>();
    deliver(request.cookie, 9, {"device:0000:00:06.0"});
    const Reply reply = client->reply(call);

    EXPECT_EQ(request.lease, 9U);
    EXPECT_EQ(request.devices, std::vector{second_device});
    ASSERT_EQ(reply.error(), "");
    const char* name = nullptr;
    int fd = -1;
    EXPECT_GT(sd_bus_message_read(reply.message.get(), "a(sh)", 1, &name, &fd), 0);
    EXPECT_STREQ(name, "device:0000:00:06.0");
}

TEST_F(WorkerTest, ReleaseIsAnsweredWhenTheMonitorIsDone) {
    begin();
    tell(lease_view(9, LeaseState::active));

    const auto call = client->start(lease_nine, lease_interface, "Release", write_no_options);
    const auto request = next<ipc::ReleaseRequest>();
    tell(ipc::LeaseGone{.lease = 9});
    tell(ipc::RequestDone{.cookie = request.cookie});

    EXPECT_EQ(request.lease, 9U);
    EXPECT_EQ(client->reply(call).error(), "");
    EXPECT_EQ(client->property(lease_nine, lease_interface, "State"), "org.iommud1.Error.NoSuchLease");
}

TEST_F(WorkerTest, GetAccountsGivesEachWithItsKeys) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "GetAccounts", write_no_options);
    const auto request = next<ipc::AccountsRequest>();
    tell(ipc::AccountsEntries{
        .cookie = request.cookie, .last = true, .accounts = {ipc::AccountEntry{.uid = 1000, .memory_limit = 4096}}});
    const Reply reply = client->reply(call);

    ASSERT_EQ(reply.error(), "");
    const char* keys[2] = {};
    std::uint32_t uid = 0;
    std::uint64_t limit = 0;
    ASSERT_GT(sd_bus_message_enter_container(reply.message.get(), 'a', "a{sv}"), 0);
    ASSERT_GT(sd_bus_message_enter_container(reply.message.get(), 'a', "{sv}"), 0);
    ASSERT_GT(sd_bus_message_read(reply.message.get(), "{sv}", &keys[0], "u", &uid), 0);
    ASSERT_GT(sd_bus_message_read(reply.message.get(), "{sv}", &keys[1], "t", &limit), 0);
    EXPECT_STREQ(keys[0], "Uid");
    EXPECT_EQ(uid, 1000U);
    EXPECT_STREQ(keys[1], "MemoryLimit");
    EXPECT_EQ(limit, 4096U);
}

TEST_F(WorkerTest, AnAdministratorRevokesAndReloads) {
    begin(ConnectionKind::admin);

    const auto revoke = client->start(manager_path, manager_interface, "Revoke", [](sd_bus_message* message) {
        must(sd_bus_message_append(message, "ots", lease_nine, std::uint64_t{5000}, "maintenance"), "append");
        write_no_options(message);
    });
    const auto revoked = next<ipc::RevokeRequest>();
    tell(ipc::RequestDone{.cookie = revoked.cookie});
    const auto reload = client->start(manager_path, manager_interface, "Reload", write_no_options);
    const auto reloaded = next<ipc::ReloadRequest>();
    tell(ipc::RequestDone{.cookie = reloaded.cookie});

    EXPECT_EQ(revoked.lease, 9U);
    EXPECT_EQ(revoked.grace_usec, 5000U);
    EXPECT_EQ(revoked.reason, "maintenance");
    EXPECT_EQ(client->reply(revoke).error(), "");
    EXPECT_EQ(client->reply(reload).error(), "");
}

TEST_F(WorkerTest, AnAdministratorGetsThePolicyWhenItsLastFrameHasCome) {
    begin(ConnectionKind::admin);

    const auto call = client->start(manager_path, manager_interface, "GetPolicy", write_no_options);
    const auto request = next<ipc::PolicyRequest>();
    tell(ipc::PolicyEntries{.cookie = request.cookie, .last = false, .entries = {{{"kind", "host"}}}});
    tell(ipc::PolicyEntries{.cookie = request.cookie, .last = true, .entries = {{{"kind", "deny"}}}});
    const Reply reply = client->reply(call);

    ASSERT_EQ(reply.error(), "");
    const char* texts[4] = {};
    ASSERT_GT(sd_bus_message_read(reply.message.get(), "aa{sv}", 2, 1, &texts[0], "s", &texts[1], 1, &texts[2], "s",
                                  &texts[3]),
              0);
    EXPECT_STREQ(texts[1], "host");
    EXPECT_STREQ(texts[3], "deny");
}

TEST_F(WorkerTest, OtherClientsHaveNoAdministratorsMethods) {
    begin();

    EXPECT_EQ(client->call(manager_path, manager_interface, "Reload", write_no_options).error(),
              "org.freedesktop.DBus.Error.UnknownMethod");
    EXPECT_EQ(client->call(manager_path, manager_interface, "GetPolicy", write_no_options).error(),
              "org.freedesktop.DBus.Error.UnknownMethod");
    EXPECT_THAT(client->introspect(manager_path), Not(HasSubstr("Revoke")));
}

TEST_F(WorkerTest, ChangesBecomeSignals) {
    begin();
    ASSERT_EQ(client->property(manager_path, manager_interface, "Version"), "0.1.0");  // the handshake is over

    tell(ipc::ManagerView{.version = "0.1.0",
                          .kernel = KernelInterface::simulated,
                          .features = {"managed"},
                          .policy_generation = 8,
                          .degraded = {}});
    const Reply changed = client->signal("PropertiesChanged");
    tell(lease_view(9, LeaseState::active));
    const Reply added = client->signal("InterfacesAdded");
    tell(ipc::LeaseGone{.lease = 9});
    const Reply removed = client->signal("InterfacesRemoved");

    ASSERT_NE(changed.message, nullptr);
    const char* texts[2] = {};
    std::uint64_t generation = 0;
    ASSERT_GT(sd_bus_message_read(changed.message.get(), "sa{sv}", &texts[0], 1, &texts[1], "t", &generation), 0);
    EXPECT_STREQ(sd_bus_message_get_path(changed.message.get()), manager_path);
    EXPECT_STREQ(texts[0], manager_interface);
    EXPECT_STREQ(texts[1], "PolicyGeneration");
    EXPECT_EQ(generation, 8U);
    const char* path = nullptr;
    ASSERT_NE(added.message, nullptr);
    ASSERT_GT(sd_bus_message_read(added.message.get(), "o", &path), 0);
    EXPECT_STREQ(path, lease_nine);
    ASSERT_NE(removed.message, nullptr);
    ASSERT_GT(sd_bus_message_read(removed.message.get(), "o", &path), 0);
    EXPECT_STREQ(path, lease_nine);
}

TEST_F(WorkerTest, AnAnswerGoesBeforeTheSignalsOfWhatItHasChanged) {
    begin();
    tell(lease_view(9, LeaseState::active));
    ASSERT_NE(client->signal("InterfacesAdded").message, nullptr);
    const auto call = client->start(lease_nine, lease_interface, "Release", write_no_options);
    const auto request = next<ipc::ReleaseRequest>();

    ASSERT_EQ(::kill(worker, SIGSTOP), 0);  // so that it reads both at once
    ASSERT_EQ(monitor.send(lease_view(9, LeaseState::draining)), ipc::SendResult::sent);
    ASSERT_EQ(monitor.send(ipc::RequestDone{.cookie = request.cookie}), ipc::SendResult::sent);
    ASSERT_EQ(::kill(worker, SIGCONT), 0);
    const Reply reply = client->reply(call);
    const Reply changed = client->signal("PropertiesChanged");

    ASSERT_EQ(reply.error(), "");
    ASSERT_NE(changed.message, nullptr);
    EXPECT_LT(serial_of(reply), serial_of(changed));
}

TEST_F(WorkerTest, TextThatIsNoUtf8DoesNotCostTheClientItsConnection) {
    begin();
    ipc::LeaseView view = lease_view(9, LeaseState::active);
    view.record.label = "\xff\xfe";
    tell(view);

    EXPECT_EQ(client->property(lease_nine, lease_interface, "Label"), "??");
}

TEST_F(WorkerTest, TheMachinesIdIsNotTold) {
    begin();

    EXPECT_EQ(client->call(manager_path, "org.freedesktop.DBus.Peer", "GetMachineId").error(),
              "org.freedesktop.DBus.Error.NotSupported");
    EXPECT_EQ(client->call(manager_path, "org.freedesktop.DBus.Peer", "Ping").error(), "");
}

}  // namespace
}  // namespace iommud::worker::test
