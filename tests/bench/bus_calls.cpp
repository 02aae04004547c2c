// Calls on the socket, of 1, 8 and 64 clients at once, each a process that calls again as soon as it is answered:
// the anchor, iommud, and the least that the daemon's processes allow, in turn. bus_calls ANCHOR OURS LEAST DEVICE:
// sockets of bus_anchor, of the daemon, and of bus_anchor that asks.
#include <fmt/format.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "tests/bench/must.hpp"
#include "tests/bench/table.hpp"

namespace iommud::bench {
namespace {

constexpr std::size_t rounds = 9;
constexpr std::size_t most_calls = 1000;
constexpr std::size_t most_clients = 64;

enum class Call { version, state, explain, explain_anew };
constexpr std::array<const char*, 4> call_names{"Get Version", "Get a device's State", "Explain",
                                                "Explain of what was not asked before"};

struct Shared {
    pthread_barrier_t barrier;
    std::array<std::array<double, most_calls>, most_clients> seconds;
};

class Client {
  public:
    Client(const std::string& socket, std::string address) : address_(std::move(address)) {
        char* path = nullptr;
        must_bus(sd_bus_path_encode("/org/iommud1/device", address_.c_str(), &path), "encode the path");
        device_ = path;
        ::free(path);
        must_bus(sd_bus_new(&bus_), "make a client");
        must_bus(sd_bus_set_address(bus_, ("unix:path=" + socket).c_str()), "set the address");
        must_bus(sd_bus_start(bus_), "connect");
    }
    void make(Call call) {
        sd_bus_message* reply = nullptr;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int result = 0;
        switch (call) {
            case Call::version:
                result = get("/org/iommud1", "org.iommud1.Manager", "Version", &error, &reply);
                break;
            case Call::state:
                result = get(device_.c_str(), "org.iommud1.Device", "State", &error, &reply);
                break;
            case Call::explain:
                result = sd_bus_call_method(bus_, nullptr, "/org/iommud1", "org.iommud1.Manager", "Explain", &error,
                                            &reply, "a{sv}asa{sv}", 0, 1, address_.c_str(), 0);
                break;
            case Call::explain_anew:
                memory_ += 4096;
                result = sd_bus_call_method(bus_, nullptr, "/org/iommud1", "org.iommud1.Manager", "Explain", &error,
                                            &reply, "a{sv}asa{sv}", 0, 1, address_.c_str(), 1, "memory", "t", memory_);
                break;
        }
        must_bus(result, error.message != nullptr ? error.message : "call");
        sd_bus_message_unref(reply);
    }

  private:
    int get(const char* path, const char* interface, const char* name, sd_bus_error* error,
            sd_bus_message** reply) const {
        return sd_bus_call_method(bus_, nullptr, path, "org.freedesktop.DBus.Properties", "Get", error, reply, "ss",
                                  interface, name);
    }
    sd_bus* bus_ = nullptr;  // for the life of the process
    std::string address_;
    std::string device_;  // its path
    std::uint64_t memory_ = 0;
};

using Sockets = std::array<std::string, 3>;  // the anchor's, the daemon's, that of the least

void run_client(Shared& shared, std::size_t number, const Sockets& sockets, const std::string& address,
                std::size_t calls) {
    std::array<Client, 3> clients{Client(sockets[0], address), Client(sockets[1], address),
                                  Client(sockets[2], address)};
    for (std::size_t turn = 0; turn < call_names.size() * rounds; ++turn) {
        const auto call = static_cast<Call>(turn / rounds);
        for (Client& client : clients) {
            client.make(call);  // warm
            ::pthread_barrier_wait(&shared.barrier);
            for (std::size_t i = 0; i < calls; ++i) {
                const auto start = Clock::now();
                client.make(call);
                shared.seconds[number][i] = seconds_since(start);
            }
            ::pthread_barrier_wait(&shared.barrier);
        }
    }
}

struct Percentiles {
    Rounds p50;
    Rounds p99;
};

std::vector<double> collect(Shared& shared, std::size_t clients, std::size_t calls) {
    ::pthread_barrier_wait(&shared.barrier);
    ::pthread_barrier_wait(&shared.barrier);
    std::vector<double> all;
    for (std::size_t client = 0; client < clients; ++client) {
        all.insert(all.end(), shared.seconds[client].begin(),
                   shared.seconds[client].begin() + static_cast<std::ptrdiff_t>(calls));
    }
    return all;
}

void measure(Table& table, std::size_t clients, const Sockets& sockets, const std::string& address) {
    const std::size_t calls = std::max<std::size_t>(30, most_calls / clients);
    void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED, "mmap");
    Shared& shared = *static_cast<Shared*>(memory);
    pthread_barrierattr_t attributes;
    ::pthread_barrierattr_init(&attributes);
    ::pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    ::pthread_barrier_init(&shared.barrier, &attributes, static_cast<unsigned>(clients) + 1);
    for (std::size_t number = 0; number < clients; ++number) {
        const pid_t child = ::fork();
        must(child >= 0, "fork");
        if (child == 0) {
            try {
                run_client(shared, number, sockets, address, calls);
                ::_exit(0);
            } catch (const std::exception& error) {
                std::fprintf(stderr, "bus_calls: client %zu: %s\n", number, error.what());
                ::kill(0, SIGTERM);  // the others wait for it at the barrier
            }
        }
    }
    for (const char* name : call_names) {
        Percentiles seen;
        Rounds least;
        for (std::size_t round = 0; round < rounds; ++round) {
            const auto anchor = collect(shared, clients, calls);
            const auto ours = collect(shared, clients, calls);
            seen.p50.add(median(anchor), median(ours));
            seen.p99.add(quantile(anchor, 0.99), quantile(ours, 0.99));
            least.add(median(anchor), median(collect(shared, clients, calls)));
        }
        table.row({name, std::to_string(clients), duration(median(seen.p50.anchor)), ratio(seen.p50), "<= 2",
                   ratio(least), duration(median(seen.p99.anchor)), ratio(seen.p99)});
    }
    while (::wait(nullptr) > 0) {
    }
    ::munmap(memory, sizeof(Shared));
}

}  // namespace
}  // namespace iommud::bench

int main(int argc, char** argv) {
    using namespace iommud::bench;
    if (argc != 5) {
        std::fputs("usage: bus_calls ANCHOR-SOCKET SOCKET LEAST-SOCKET DEVICE\n", stderr);
        return 2;
    }
    try {
        ::setpgid(0, 0);
        Table table({"call", "clients", "p50 of bare sd-bus", "p50, ours/bare", "target", "p50, least/bare",
                     "p99 of bare sd-bus", "p99, ours/bare"});
        for (const std::size_t clients : {std::size_t{1}, std::size_t{8}, most_clients}) {
            measure(table, clients, {argv[1], argv[2], argv[3]}, argv[4]);
        }
        table.print(
            fmt::format("Calls on the socket, simulated kernel; anchor: bare sd-bus peer to peer, one process "
                        "per connection; medians of {} rounds (smallest-largest)",
                        rounds));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bus_calls: %s\n", error.what());
        return 1;
    }
}
