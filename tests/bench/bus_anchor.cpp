// The anchor of the calls on the socket: bare sd-bus, peer to peer, one process per connection as iommud has, with a
// vtable of the same form, that answers from constants. bus_anchor SOCKET: serves until it is ended.
// bus_anchor SOCKET ask: Explain asks one more process, the same for all connections, and answers when that has: the
// least that it takes where the process that parses D-Bus is not the one that decides, and does not wait for it alone.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "tests/bench/must.hpp"

namespace iommud::bench {
namespace {

constexpr const char* manager_path = "/org/iommud1";
constexpr const char* device_prefix = "/org/iommud1/device";

int text_property(sd_bus*, const char*, const char*, const char* name, sd_bus_message* reply, void*,
                  sd_bus_error*) noexcept {
    return sd_bus_message_append_basic(reply, 's', std::strcmp(name, "State") == 0 ? "available" : "0.1.0");
}

int read_explain(sd_bus_message* call) {
    int result = sd_bus_message_skip(call, "a{sv}");
    if (result >= 0) {
        result = sd_bus_message_enter_container(call, 'a', "s");
    }
    const char* device = nullptr;
    while (result >= 0 && (result = sd_bus_message_read_basic(call, 's', &device)) > 0) {
    }
    if (result >= 0) {
        result = sd_bus_message_exit_container(call);
    }
    return result < 0 ? result : sd_bus_message_skip(call, "a{sv}");
}

// As long as the daemon's frames are.
constexpr std::size_t question_size = 30;
constexpr std::size_t answer_size = 487;
int decider = -1;

sd_bus_message* asked = nullptr;  // the call that waits for the decider: a client makes one at a time

int answer_explain(sd_bus_message* call) noexcept {
    // As long as the daemon's own answer to the same question.
    return sd_bus_reply_method_return(
        call, "bsaa{sv}", 1, "rule bench gives root (uid 0) 0000:00:00.0: mode managed, 64 MiB, at most 4096 maps", 2,
        6, "change", "s", "", "effect", "s", "allow", "matched", "s", "yes", "rule", "s", "bench", "where", "s",
        "/etc/iommud/policy.d/10-bench.json:4", "why", "s", "subject, devices, mode and memory match", 6, "change", "s",
        "", "effect", "s", "account", "matched", "s", "yes", "rule", "s", "", "where", "s",
        "/etc/iommud/policy.d/10-bench.json:3", "why", "s",
        "root (uid 0) pays: 64 GiB of memory, 2000 leases, 2000 devices at most");
}

int explain(sd_bus_message* call, void*, sd_bus_error*) noexcept {
    if (const int result = read_explain(call); result < 0) {
        return result;
    }
    if (decider < 0) {
        return answer_explain(call);
    }
    // Not here: a worker has more to do than to wait for one answer.
    const std::array<char, question_size> question{};
    asked = sd_bus_message_ref(call);
    return ::send(decider, question.data(), question.size(), 0) < 0 ? -errno : 1;
}

// Waits for the connection and for the decider, and does what the latter says.
void wait_for_both(sd_bus* bus) {
    std::array<pollfd, 2> waiting{
        {{sd_bus_get_fd(bus), static_cast<short>(sd_bus_get_events(bus)), 0}, {decider, POLLIN, 0}}};
    must(::poll(waiting.data(), waiting.size(), -1) > 0, "poll");
    if (waiting[1].revents == 0) {
        return;
    }
    std::array<char, answer_size> answer{};
    must(::recv(decider, answer.data(), answer.size(), 0) > 0 && asked != nullptr, "hear the decider");
    must_bus(answer_explain(asked), "answer");
    asked = sd_bus_message_unref(asked);
}

int find_device(sd_bus*, const char* path, const char*, void*, void** found, sd_bus_error*) noexcept {
    char* decoded = nullptr;
    const int result = sd_bus_path_decode(path, device_prefix, &decoded);
    ::free(decoded);
    *found = nullptr;
    return result > 0 ? 1 : 0;
}

const sd_bus_vtable manager[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("a{sv}", subject, "as", devices, "a{sv}", options),
                            SD_BUS_RESULT("b", allowed, "s", decision, "aa{sv}", trace), explain,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Version", "s", text_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_VTABLE_END,
};
const sd_bus_vtable device[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("State", "s", text_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_VTABLE_END,
};

void serve(int connection) {
    sd_bus* bus = nullptr;
    sd_id128_t id{};
    must_bus(sd_bus_new(&bus), "make a connection");
    must_bus(sd_id128_randomize(&id), "make the server's id");
    must_bus(sd_bus_set_server(bus, 1, id), "be the server");
    must_bus(sd_bus_set_anonymous(bus, 1), "allow anonymous clients");
    must_bus(sd_bus_set_trusted(bus, 1), "check no capability");
    must_bus(sd_bus_negotiate_fds(bus, 1), "allow descriptors");
    must_bus(sd_bus_set_fd(bus, connection, connection), "take the connection");
    must_bus(sd_bus_start(bus), "start");
    must_bus(sd_bus_add_object_vtable(bus, nullptr, manager_path, "org.iommud1.Manager", manager, nullptr), "manager");
    must_bus(sd_bus_add_object_manager(bus, nullptr, manager_path), "object manager");
    must_bus(
        sd_bus_add_fallback_vtable(bus, nullptr, device_prefix, "org.iommud1.Device", device, find_device, nullptr),
        "devices");
    for (int result = 0; result >= 0;) {
        result = sd_bus_process(bus, nullptr);
        if (result == 0 && decider >= 0) {
            wait_for_both(bus);
        } else if (result == 0) {
            result = sd_bus_wait(bus, ~std::uint64_t{0});
        }
    }
}

sockaddr_un decider_address() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(&address.sun_path[1], sizeof address.sun_path - 1, "iommud-bench-%d", ::getpid());  // abstract
    return address;
}

[[noreturn]] void decide(int listener) {
    const int epoll = ::epoll_create1(0);
    epoll_event event{EPOLLIN, {.fd = listener}};
    must(epoll >= 0 && ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0, "epoll");
    for (;;) {
        if (::epoll_wait(epoll, &event, 1, -1) != 1) {
            continue;
        }
        if (event.data.fd == listener) {
            const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
            event = {EPOLLIN, {.fd = client}};
            must(client >= 0 && ::epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event) == 0, "accept");
            continue;
        }
        std::array<char, answer_size> bytes{};
        if (::recv(event.data.fd, bytes.data(), bytes.size(), 0) <= 0 ||
            ::send(event.data.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) {
            ::close(event.data.fd);
        }
    }
}

// Its address, for every connection's process to connect to.
sockaddr_un start_decider() {
    const sockaddr_un address = decider_address();
    const int listener = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    must(listener >= 0 && ::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
             ::listen(listener, 128) == 0,
         "listen for questions");
    const pid_t child = ::fork();
    must(child >= 0, "fork");
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        decide(listener);
    }
    ::close(listener);
    return address;
}

void listen_at(const std::string& path, const sockaddr_un* ask) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        must(false, path.c_str());
    }
    path.copy(address.sun_path, path.size());
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(socket >= 0, "socket");
    must(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "bind");
    must(::listen(socket, 128) == 0, "listen");
    std::signal(SIGCHLD, SIG_IGN);  // nobody waits for them
    for (;;) {
        const int connection = ::accept4(socket, nullptr, nullptr, SOCK_CLOEXEC);
        must(connection >= 0, "accept");
        const pid_t child = ::fork();
        must(child >= 0, "fork");
        if (child == 0) {
            ::close(socket);
            if (ask != nullptr) {
                decider = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
                must(::connect(decider, reinterpret_cast<const sockaddr*>(ask), sizeof *ask) == 0, "ask the decider");
            }
            serve(connection);
            ::_exit(0);
        }
        ::close(connection);
    }
}

}  // namespace
}  // namespace iommud::bench

int main(int argc, char** argv) {
    const bool ask = argc == 3 && std::strcmp(argv[2], "ask") == 0;
    if (argc != 2 && !ask) {
        std::fputs("usage: bus_anchor SOCKET [ask]\n", stderr);
        return 2;
    }
    try {
        sockaddr_un decider{};
        if (ask) {
            decider = iommud::bench::start_decider();
        }
        iommud::bench::listen_at(argv[1], ask ? &decider : nullptr);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bus_anchor: %s\n", error.what());
    }
    return 1;
}
