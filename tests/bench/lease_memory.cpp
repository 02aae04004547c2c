// What the daemon's processes take: lease_memory SOCKET VAULT-PID MONITOR-PID LEASES. Acquires as many leases, of the
// first devices that `run` writes into simulated-devices.json, and looks at the processes while it has them.
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iommud/iommud.hpp>

#include "tests/bench/processes.hpp"

namespace {

using namespace iommud::bench;

constexpr std::uint64_t reserve = 1 << 20;  // so that 1,000 find room on any host

void run(const std::string& socket, pid_t vault, pid_t monitor, unsigned count) {
    Table table = memory_table();
    iommud::client::Connection connection("unix:path=" + socket);
    std::vector<iommud::client::Lease> leases;
    leases.push_back(connection.acquire({"0000:00:00.0"}, {.memory = reserve}));
    memory_row(table, "monitor, 1 lease", {monitor}, "-");
    const auto start = Clock::now();
    for (unsigned i = 1; i < count; ++i) {
        leases.push_back(connection.acquire({fmt::format("0000:{:02x}:{:02x}.{}", i / 256, i / 8 % 32, i % 8)},
                                            {.memory = reserve}));
    }
    const double seconds = seconds_since(start);
    memory_row(table, fmt::format("monitor, {} leases", count), {monitor}, "<= 10240 KB");
    memory_row(table, "vault", {vault}, "-");
    memory_row(table, "keepers", children_called(vault, "iommud-keeper"), "<= 400 KB");
    memory_row(table, fmt::format("worker that shows {} devices and leases", count),
               children_called(vault, "iommud-worker"), "-");
    table.print(fmt::format("Memory, simulated kernel, {} devices ({} leases were acquired in {})", count, count,
                            duration(seconds)));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fputs("usage: lease_memory SOCKET VAULT-PID MONITOR-PID LEASES\n", stderr);
        return 2;
    }
    try {
        run(argv[1], std::atoi(argv[2]), std::atoi(argv[3]), static_cast<unsigned>(std::atoi(argv[4])));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "lease_memory: %s\n", error.what());
        return 1;
    }
}
