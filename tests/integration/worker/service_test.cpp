// What a client gets from a worker, with a monitor that plays along.
#include <sys/stat.h>

#include "daemon/worker/names.hpp"
#include "tests/integration/worker/fake_monitor.hpp"

namespace iommud::worker::test {
namespace {

void write_acquire(sd_bus_message* message) {
    write_strings(message, {"0000:00:04.0"});
    must(sd_bus_message_append(message, "a{sv}", 3, "mode", "s", "managed", "memory", "t", std::uint64_t{4096}, "label",
                               "s", "test"),
         "append options");
}

TEST_F(WorkerTest, AnswersPropertiesFromWhatTheMonitorTold) {
    begin();

    EXPECT_EQ(client->property(manager_path, manager_interface, "Version"), "0.1.0");
    EXPECT_EQ(client->property(manager_path, manager_interface, "KernelInterface"), "simulated");
    EXPECT_EQ(client->property(manager_path, manager_interface, "PolicyGeneration"), "7");
    EXPECT_EQ(client->property(first_device_path, device_interface, "Address"), "0000:00:04.0");
    EXPECT_EQ(client->property(first_device_path, device_interface, "VendorId"), "4660");
    EXPECT_EQ(client->property(first_device_path, device_interface, "Lease"), "/");
}

TEST_F(WorkerTest, AcquireGivesTheKeepersDescriptorsUnderTheirNames) {
    begin();

    const auto call = client->start(manager_path, manager_interface, "Acquire", write_acquire);
    const auto request = next<ipc::AcquireRequest>();
    tell(lease_view(9, LeaseState::granting));
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
    EXPECT_STREQ(path, "/org/iommud1/lease/9");
    EXPECT_STREQ(names[0], "lease");
    EXPECT_STREQ(names[1], "device:0000:00:04.0");
    struct stat status {};
    EXPECT_EQ(::fstat(fds[1], &status), 0);
    EXPECT_EQ(client->property("/org/iommud1/lease/9", lease_interface, "State"), "active");
}

}  // namespace
}  // namespace iommud::worker::test
