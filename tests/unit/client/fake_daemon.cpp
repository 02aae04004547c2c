#include "tests/unit/client/fake_daemon.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace iommud {
namespace {

std::vector<std::string> read_strings(sd_bus_message* message) {
    std::vector<std::string> strings;
    EXPECT_GE(sd_bus_message_enter_container(message, 'a', "s"), 0);
    for (const char* text = nullptr; sd_bus_message_read_basic(message, 's', &text) > 0;) {
        strings.emplace_back(text);
    }
    EXPECT_GE(sd_bus_message_exit_container(message), 0);
    return strings;
}

void read_options(sd_bus_message* message, FakeRequest& request) {
    EXPECT_GE(sd_bus_message_enter_container(message, 'a', "{sv}"), 0);
    while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
        const char* key = nullptr;
        const char* text = nullptr;
        EXPECT_GE(sd_bus_message_read_basic(message, 's', &key), 0);
        const std::string name = key;
        if (name == "memory") {
            EXPECT_GE(sd_bus_message_read(message, "v", "t", &request.memory), 0);
        } else {
            EXPECT_GE(sd_bus_message_read(message, "v", "s", &text), 0);
            (name == "mode" ? request.mode : name == "label" ? request.label : request.user) = text;
        }
        EXPECT_GE(sd_bus_message_exit_container(message), 0);
    }
    EXPECT_GE(sd_bus_message_exit_container(message), 0);
}

sd_bus_message* new_reply(sd_bus_message* message) {
    sd_bus_message* reply = nullptr;
    EXPECT_GE(sd_bus_message_new_method_return(message, &reply), 0);
    return reply;
}

int send(sd_bus_message* reply) {
    const int result = sd_bus_send(nullptr, reply, nullptr);
    sd_bus_message_unref(reply);
    return result < 0 ? result : 1;
}

void append_device(sd_bus_message* reply) {
    EXPECT_GE(sd_bus_message_append(reply, "a{sv}", 8, "Address", "s", "0000:00:04.0", "VendorId", "q", 0x1234,
                                    "DeviceId", "q", 0x11e8, "IommuGroup", "i", 3, "Driver", "s", "vfio-pci", "State",
                                    "s", "leased", "Name", "s", "edu", "Lease", "o", "/org/iommud1/lease/1"),
              0);
}

}  // namespace

FakeDaemon::FakeDaemon(FakeAnswers answers) : answers_(std::move(answers)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "iommud-fake-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    stopped_.reset(ends[0]);
    stop_.reset(ends[1]);
    listening_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, (folder_ + "/bus").c_str(), sizeof name.sun_path - 1);
    EXPECT_EQ(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    EXPECT_EQ(::listen(listening_.get(), 8), 0);
    thread_ = std::thread(&FakeDaemon::serve, this);
}

FakeDaemon::~FakeDaemon() {
    stop_.reset();
    thread_.join();
    std::filesystem::remove_all(folder_);
}

FakeRequest FakeDaemon::last_request() const {
    const std::lock_guard lock(mutex_);
    return last_;
}

// One connection after the other.
void FakeDaemon::serve() {
    for (;;) {
        pollfd waiting[2] = {{listening_.get(), POLLIN, 0}, {stopped_.get(), POLLIN, 0}};
        if (::poll(waiting, 2, -1) < 0 || waiting[1].revents != 0) {
            return;
        }
        serve_one(UniqueFd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    }
}

void FakeDaemon::serve_one(UniqueFd connection) {
    sd_bus* bus = nullptr;
    sd_id128_t id{};
    const int fd = connection.release();
    EXPECT_GE(sd_bus_new(&bus), 0);
    EXPECT_GE(sd_bus_set_fd(bus, fd, fd), 0);
    EXPECT_GE(sd_id128_randomize(&id), 0);
    EXPECT_GE(sd_bus_set_server(bus, 1, id), 0);
    EXPECT_GE(sd_bus_set_anonymous(bus, 1), 0);
    EXPECT_GE(sd_bus_negotiate_fds(bus, 1), 0);
    EXPECT_GE(sd_bus_add_filter(bus, nullptr, &FakeDaemon::on_message, this), 0);
    EXPECT_GE(sd_bus_start(bus), 0);
    for (int result = 0; (result = sd_bus_process(bus, nullptr)) >= 0;) {
        pollfd waiting[2] = {{fd, static_cast<short>(sd_bus_get_events(bus)), 0}, {stopped_.get(), POLLIN, 0}};
        if (result == 0 && (::poll(waiting, 2, -1) < 0 || waiting[1].revents != 0)) {
            break;
        }
    }
    sd_bus_flush(bus);
    sd_bus_close_unref(bus);
}

int FakeDaemon::on_message(sd_bus_message* message, void* daemon, sd_bus_error*) {
    return static_cast<FakeDaemon*>(daemon)->answer(message);
}

int FakeDaemon::answer(sd_bus_message* message) {
    if (answers_.hang_up) {
        sd_bus_close(sd_bus_message_get_bus(message));
        return 1;
    }
    if (!answers_.error_name.empty()) {
        return sd_bus_reply_method_errorf(message, answers_.error_name.c_str(), "%s", answers_.error_message.c_str());
    }
    const std::string member = sd_bus_message_get_member(message);
    const std::string path = sd_bus_message_get_path(message);
    if (member == "Acquire") {
        return answer_acquire(message);
    }
    if (member == "Explain") {
        return answer_explain(message);
    }
    if (member == "GetManagedObjects") {
        return answer_objects(message);
    }
    if (member == "GetAccounts") {
        return answer_accounts(message);
    }
    if (member == "GetPolicy" && answers_.admin) {
        return answer_policy(message);
    }
    if (member == "GetAll" && path == "/org/iommud1") {
        return answer_manager(message);
    }
    if (member == "GetAll" && path == "/org/iommud1/device/_30000_3a00_3a04_2e0") {
        return answer_device(message);
    }
    if (path == "/org/iommud1") {
        return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_UNKNOWN_METHOD, "no method %s", member.c_str());
    }
    return 0;  // sd-bus answers that there is no such object
}

int FakeDaemon::answer_acquire(sd_bus_message* message) {
    FakeRequest request{.member = "Acquire", .devices = read_strings(message)};
    read_options(message, request);
    {
        const std::lock_guard lock(mutex_);
        last_ = request;
    }
    sd_bus_message* reply = new_reply(message);
    EXPECT_GE(sd_bus_message_append(reply, "o", "/org/iommud1/lease/1"), 0);
    EXPECT_GE(sd_bus_message_open_container(reply, 'a', "(sh)"), 0);
    for (const std::string& name : answers_.fd_names) {
        int ends[2] = {-1, -1};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        keepers_.emplace_back(ends[0]);
        const UniqueFd given(ends[1]);
        EXPECT_GE(sd_bus_message_append(reply, "(sh)", name.c_str(), given.get()), 0);  // duplicates it
    }
    EXPECT_GE(sd_bus_message_close_container(reply), 0);
    EXPECT_GE(sd_bus_message_append(reply, "a{sv}", 2, "later", "as", 1, "than this client", "simulated", "b",
                                    answers_.simulated ? 1 : 0),
              0);
    return send(reply);
}

int FakeDaemon::answer_explain(sd_bus_message* message) {
    FakeRequest request{.member = "Explain"};
    read_options(message, request);
    request.devices = read_strings(message);
    read_options(message, request);
    {
        const std::lock_guard lock(mutex_);
        last_ = request;
    }
    sd_bus_message* reply = new_reply(message);
    EXPECT_GE(sd_bus_message_append(reply, "bsaa{sv}", answers_.allowed ? 1 : 0, "as the rules say", 1, 2, "rule", "s",
                                    "nic", "effect", "s", "allow"),
              0);
    return send(reply);
}

int FakeDaemon::answer_objects(sd_bus_message* message) {
    sd_bus_message* reply = new_reply(message);
    EXPECT_GE(sd_bus_message_open_container(reply, 'a', "{oa{sa{sv}}}"), 0);
    EXPECT_GE(sd_bus_message_append(reply, "{oa{sa{sv}}}", "/org/iommud1/lease/1", 1, "org.iommud1.Lease", 4, "Id", "t",
                                    std::uint64_t{1}, "Label", "s", answers_.label.c_str(), "Devices", "as", 1,
                                    "0000:00:04.0", "MemoryReserved", "t", std::uint64_t{12} << 20),
              0);
    EXPECT_GE(sd_bus_message_open_container(reply, 'e', "oa{sa{sv}}"), 0);
    EXPECT_GE(sd_bus_message_append(reply, "o", "/org/iommud1/device/_30000_3a00_3a04_2e0"), 0);
    EXPECT_GE(sd_bus_message_open_container(reply, 'a', "{sa{sv}}"), 0);
    EXPECT_GE(sd_bus_message_open_container(reply, 'e', "sa{sv}"), 0);
    EXPECT_GE(sd_bus_message_append(reply, "s", "org.iommud1.Device"), 0);
    append_device(reply);
    for (int depth = 0; depth < 4; ++depth) {
        EXPECT_GE(sd_bus_message_close_container(reply), 0);
    }
    return send(reply);
}

int FakeDaemon::answer_accounts(sd_bus_message* message) {
    sd_bus_message* reply = new_reply(message);
    EXPECT_GE(sd_bus_message_append(reply, "aa{sv}", 1, 2, "Uid", "u", 0x70000005U, "MemoryLimit", "t",
                                    std::uint64_t{1} << 30),
              0);
    return send(reply);
}

int FakeDaemon::answer_policy(sd_bus_message* message) {
    sd_bus_message* reply = new_reply(message);
    EXPECT_GE(sd_bus_message_append(reply, "aa{sv}", 1, 4, "kind", "s", "deny", "name", "s", "never", "says", "s",
                                    "everybody: every device", "where", "s", "10-a.json:3"),
              0);
    return send(reply);
}

int FakeDaemon::answer_manager(sd_bus_message* message) {
    sd_bus_message* reply = new_reply(message);
    EXPECT_GE(
        sd_bus_message_append(reply, "a{sv}", 3, "Version", "s", "0.1.0", "KernelInterface", "s",
                              answers_.simulated ? "simulated" : "iommufd", "PolicyGeneration", "t", std::uint64_t{3}),
        0);
    return send(reply);
}

int FakeDaemon::answer_device(sd_bus_message* message) {
    sd_bus_message* reply = new_reply(message);
    append_device(reply);
    return send(reply);
}

}  // namespace iommud
