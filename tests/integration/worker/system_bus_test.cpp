// The worker on the system bus: a bus of the test's own stands in for it.
#include <gmock/gmock.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "daemon/worker/names.hpp"
#include "tests/integration/worker/fake_monitor.hpp"

namespace iommud::worker::test {
namespace {

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
    void begin_on_bus() {
        spawn_on_bus(address_);
        introduce(ConnectionKind::system_bus);
        client = std::make_unique<Client>(address_);
        const auto deadline = std::chrono::steady_clock::now() + patience;
        std::string version;
        while (version != "0.1.0" && std::chrono::steady_clock::now() < deadline) {
            version = client->property(manager_path, manager_interface, "Version");
        }
        ASSERT_EQ(version, "0.1.0");
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

    EXPECT_THAT(client->property("/org/iommud1/lease/9", lease_interface, "State"),
                HasSubstr("org.freedesktop.DBus.Error.Unknown"));
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

TEST_F(SystemBusTest, TheWorkerIsConfinedThereToo) {
    begin_on_bus();

    EXPECT_THAT(worker_file("status"), HasSubstr("NoNewPrivs:\t1"));
#ifndef IOMMUD_SANITIZED
    EXPECT_THAT(worker_file("status"), HasSubstr("Seccomp:\t2"));
#endif
}

}  // namespace
}  // namespace iommud::worker::test
