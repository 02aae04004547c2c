// The worker on the system bus: a bus of the test's own stands in for it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "daemon/worker/names.hpp"
#include "tests/integration/worker/fake_monitor.hpp"

namespace iommud::worker::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* access_denied = "org.iommud1.Error.AccessDenied";

class SystemBusTest : public WorkerTest {
  protected:
    void SetUp() override {
        std::string name = testing::TempDir() + "iommud-bus-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder_ = name;
        std::ofstream config_file(folder_ / "bus.conf");
        config_file << "<busconfig><listen>unix:path=" << (folder_ / "bus").string() << "</listen><auth>EXTERNAL</auth>"
                    << R"(<policy context="default"><allow user="*"/><allow own="*"/>)"
                    << R"(<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>)";
        config_file.close();
        std::array<int, 2> ready{};
        ASSERT_EQ(::pipe(ready.data()), 0);
        const UniqueFd told(ready[0]);
        UniqueFd tell_us(ready[1]);
        bus_ = ::fork();
        ASSERT_GE(bus_, 0);
        if (bus_ == 0) {
            const std::string config = "--config-file=" + (folder_ / "bus.conf").string();
            const std::string print = "--print-address=" + std::to_string(tell_us.get());
            ::execlp("dbus-daemon", "dbus-daemon", "--nofork", config.c_str(), print.c_str(),
                     static_cast<char*>(nullptr));
            ::_exit(127);
        }
        tell_us.reset();
        char byte = 0;
        ASSERT_EQ(::read(told.get(), &byte, 1), 1) << "no dbus-daemon could be started";
        address_ = "unix:path=" + (folder_ / "bus").string();
    }
    void TearDown() override {
        client.reset();
        ::kill(bus_, SIGKILL);
        ::waitpid(bus_, nullptr, 0);
        std::filesystem::remove_all(folder_);
    }
    // The worker is on the bus and has its view when it says its version.
    void begin_on_bus(const std::vector<std::string>& features = {"managed"}) {
        spawn_on_bus(address_);
        introduce(ConnectionKind::system_bus, features);
        client = std::make_unique<Client>(address_);
        const auto deadline = std::chrono::steady_clock::now() + patience;
        std::string version;
        while (version != "0.1.0" && std::chrono::steady_clock::now() < deadline) {
            version = client->property(manager_path, manager_interface, "Version");
        }
        ASSERT_EQ(version, "0.1.0");
    }

    // Where policy says "bus_acquire".
    void begin_open() { begin_on_bus({"managed", bus_feature}); }
    [[nodiscard]] std::unique_ptr<Client> another_client() const { return std::make_unique<Client>(address_); }
    void kill_bus() const { ::kill(bus_, SIGKILL); }
    // The request in a frame of the worker that must vouch for this process.
    template <class Request>
    Request vouched() {
        const auto frame = next<ipc::VouchedRequest>();
        EXPECT_EQ(frame.uid, ::getuid());
        EXPECT_THAT(frame.groups, Contains(::getgid()));
        auto request = ipc::decode<Request>(frame.request).value_or(Request{});
        EXPECT_EQ(request.cookie, frame.cookie);
        return request;
    }
    static ipc::LeaseView lease_of(LeaseId id, std::uint32_t uid) {
        ipc::LeaseView view = lease_view(id, LeaseState::active);
        view.record.holder_uid = uid;
        return view;
    }

  private:
    std::filesystem::path folder_;
    std::string address_;
    pid_t bus_ = -1;
};

TEST_F(SystemBusTest, DevicesCanBeReadThere) {
    begin_on_bus();

    EXPECT_EQ(client->property(first_device_path, device_interface, "Driver"), "vfio-pci");
    EXPECT_THAT(client->introspect(manager_path), Not(HasSubstr("Revoke")));
}

TEST_F(SystemBusTest, NothingIsGivenOrDecidedThere) {
    begin_on_bus();

    const Reply acquire = client->call(manager_path, manager_interface, "Acquire", write_acquire);
    const Reply explain = client->call(manager_path, manager_interface, "Explain", [](sd_bus_message* message) {
        write_no_options(message);
        write_strings(message, {"0000:00:04.0"});
        write_no_options(message);
    });
    const Reply accounts = client->call(manager_path, manager_interface, "GetAccounts", write_no_options);

    EXPECT_EQ(acquire.error(), access_denied);
    EXPECT_THAT(acquire.error_text(), HasSubstr("unix:path=/run/iommud/bus"));
    EXPECT_EQ(explain.error(), access_denied);
    EXPECT_EQ(accounts.error(), access_denied);
    ipc::Packet packet;
    EXPECT_EQ(monitor.receive(packet), ipc::ReceiveResult::empty);
}

TEST_F(SystemBusTest, LeasesAreNobodysToSeeThere) {
    begin_on_bus();

    tell(lease_view(9, LeaseState::active));
    tell(ipc::DeviceGone{.address = second_device});
    ASSERT_EQ(client->signal("InterfacesRemoved").error(), "");  // and so the lease's frame was handled

    EXPECT_THAT(client->property("/org/iommud1/lease/9", lease_interface, "State"), "org.iommud1.Error.NoSuchLease");
}

TEST_F(SystemBusTest, ChangesOfDevicesAreSignals) {
    begin_on_bus();

    tell(ipc::DeviceGone{.address = first_device});
    const Reply removed = client->signal("InterfacesRemoved");

    ASSERT_NE(removed.message, nullptr);
    const char* path = nullptr;
    ASSERT_GT(sd_bus_message_read(removed.message.get(), "o", &path), 0);
    EXPECT_STREQ(path, first_device_path);
}

TEST_F(SystemBusTest, ALeaseIsGivenToWhomTheBusVouchesForWherePolicySaysSo) {
    begin_open();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = vouched<ipc::AcquireRequest>();
    deliver(request.cookie, 9, {"lease", "device:0000:00:04.0"});
    const Reply reply = client->reply(call);

    EXPECT_EQ(request.devices, std::vector{first_device});
    ASSERT_EQ(reply.error(), "") << reply.error_text();
    const char* path = nullptr;
    const char* names[2] = {};
    int fds[2] = {-1, -1};
    ASSERT_GT(sd_bus_message_read(reply.message.get(), "oa(sh)", &path, 2, &names[0], &fds[0], &names[1], &fds[1]), 0);
    EXPECT_STREQ(path, "/org/iommud1/lease/9");
    struct stat status {};
    EXPECT_EQ(::fstat(fds[1], &status), 0);
    EXPECT_EQ(client->property(first_device_path, device_interface, "Lease"), "/") << "nobody's business there";
}

TEST_F(SystemBusTest, ExplainAndGetAccountsAreAnsweredThereToo) {
    begin_open();

    const auto accounts = client->start(manager_path, manager_interface, "GetAccounts", write_no_options);
    tell(ipc::AccountsEntries{.cookie = vouched<ipc::AccountsRequest>().cookie, .last = true, .accounts = {}});
    EXPECT_EQ(client->reply(accounts).error(), "");
    const auto explain = client->start(manager_path, manager_interface, "Explain", [](sd_bus_message* message) {
        write_no_options(message);
        write_strings(message, {"0000:00:04.0"});
        write_no_options(message);
    });
    const auto cookie = vouched<ipc::ExplainRequest>().cookie;
    tell(ipc::RequestFailed{.cookie = cookie, .code = ErrorCode::access_denied, .message = "no"});

    EXPECT_EQ(client->reply(explain).error(), access_denied);
}

TEST_F(SystemBusTest, WhatOneIsToldIsNotToldToAnother) {
    begin_open();
    const auto ask = [this] {
        return client->start(manager_path, manager_interface, "Explain", [](sd_bus_message* message) {
            write_no_options(message);
            write_strings(message, {"0000:00:04.0"});
            write_no_options(message);
        });
    };

    for (const char* says : {"to one", "to another"}) {
        const auto call = ask();
        const auto cookie = vouched<ipc::ExplainRequest>().cookie;
        tell(ipc::ExplainEntries{.cookie = cookie, .lasting = true, .allowed = true, .decision = says, .trace = {}});
        const Reply reply = client->reply(call);
        int allowed = 0;
        const char* text = "";
        ASSERT_GT(sd_bus_message_read(reply.message.get(), "bs", &allowed, &text), 0);
        EXPECT_STREQ(text, says);
    }
}

TEST_F(SystemBusTest, ALeaseIsItsHoldersToReadAndRelease) {
    begin_open();
    tell(lease_of(9, ::getuid()));
    tell(lease_of(10, ::getuid() + 1));

    EXPECT_EQ(client->property("/org/iommud1/lease/9", lease_interface, "State"), "active");
    EXPECT_EQ(client->property("/org/iommud1/lease/10", lease_interface, "State"), "org.iommud1.Error.NoSuchLease");
    const auto release = client->start("/org/iommud1/lease/9", lease_interface, "Release", write_no_options);
    const auto request = vouched<ipc::ReleaseRequest>();
    tell(ipc::RequestDone{.cookie = request.cookie});

    EXPECT_EQ(request.lease, 9U);
    EXPECT_EQ(client->reply(release).error(), "");
    EXPECT_EQ(client
                  ->call("/org/iommud1/lease/9", lease_interface, "Release",
                         [](sd_bus_message* message) { write_strings(message, {}); })
                  .error(),
              "org.iommud1.Error.InvalidArgument");
}

TEST_F(SystemBusTest, AnAnswerOfMoreDescriptorsThanTheBusCarriesIsNotAskedFor) {
    begin_open();

    const Reply reply = client->call(manager_path, manager_interface, "Acquire", [](sd_bus_message* message) {
        std::vector<std::string> addresses;
        for (int slot = 0; slot < 16; ++slot) {
            addresses.push_back(fmt::format("0000:00:{:02x}.0", slot));
        }
        write_strings(message, addresses);
        write_no_options(message);
    });

    EXPECT_EQ(reply.error(), "org.iommud1.Error.InvalidArgument");
    EXPECT_THAT(reply.error_text(), HasSubstr("17 descriptors"));
    ipc::Packet packet;
    EXPECT_EQ(monitor.receive(packet), ipc::ReceiveResult::empty);
}

TEST_F(SystemBusTest, WhoVanishesBeforeTheAnswerHasNoLease) {
    begin_open();
    static_cast<void>(client->start(manager_path, manager_interface, "Acquire", write_acquire));
    const auto request = vouched<ipc::AcquireRequest>();
    auto [keeper, end] = ipc::Channel::pair().value();
    tell(ipc::DeliveryComing{.cookie = request.cookie, .lease = lease_of(9, ::getuid())}, {end.fd()});
    const UniqueFd ours = UniqueFd(::dup(keeper.fd().get()));
    end.close();

    client.reset();

    pollfd hang_up{ours.get(), 0, 0};
    EXPECT_EQ(::poll(&hang_up, 1, 30'000), 1) << "the worker keeps the delivery's end";
    EXPECT_EQ(another_client()->property(manager_path, manager_interface, "Version"), "0.1.0");
}

TEST_F(SystemBusTest, WhoAsksTooMuchAtOnceCostsOthersNothing) {
    begin_open();
    for (int i = 0; i < 8; ++i) {
        static_cast<void>(client->start(manager_path, manager_interface, "GetAccounts", write_no_options));
        static_cast<void>(vouched<ipc::AccountsRequest>());
    }

    const Reply ninth = client->call(manager_path, manager_interface, "GetAccounts", write_no_options);
    client = another_client();
    const auto other = client->start(manager_path, manager_interface, "GetAccounts", write_no_options);
    tell(ipc::AccountsEntries{.cookie = vouched<ipc::AccountsRequest>().cookie, .last = true, .accounts = {}});

    EXPECT_EQ(ninth.error(), "org.iommud1.Error.InvalidArgument");
    EXPECT_EQ(client->reply(other).error(), "");
}

TEST_F(SystemBusTest, TheLossOfTheBusIsTheWorkersEnd) {
    begin_on_bus();

    kill_bus();

    EXPECT_EQ(ending(), "exited 0");
}

TEST_F(SystemBusTest, TheWorkerIsConfinedThereToo) {
    begin_on_bus();

    EXPECT_THAT(worker_file("status"), HasSubstr("NoNewPrivs:\t1"));
#ifndef IOMMUD_SANITIZED
    EXPECT_THAT(worker_file("status"), HasSubstr("Seccomp:\t2"));
#endif
}

}  // namespace
}  // namespace iommud::worker::test
