// What a lease costs, in the virtual machine: leases USER-ID CGROUP [acquire: that alone]. As root; the daemon runs,
// and a policy gives the user 0000:00:04.0. The anchors use 0000:00:06.0, of the same kind.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>

#include "tests/bench/bare_helper.hpp"
#include "tests/bench/lease_helper.hpp"
#include "tests/bench/maps.hpp"
#include "tests/bench/must.hpp"
#include "tests/bench/processes.hpp"
#include "tests/bench/table.hpp"

namespace iommud::bench {
namespace {

constexpr const char* our_device = "0000:00:04.0";
constexpr const char* anchor_device = "0000:00:06.0";
constexpr std::size_t lease_rounds = 75;
constexpr std::size_t map_rounds = 9;

void measure_acquire(Helper& ours, Helper& process, Helper& ioctls) {
    Rounds whole;
    Rounds until_free;
    Rounds against_ioctls;
    Rounds closing;
    for (std::size_t round = 0; round <= lease_rounds; ++round) {
        const Seconds bare = process(Op::acquire);
        const Seconds lease = ours(Op::acquire);
        const Seconds calls = ioctls(Op::acquire);
        const Seconds given_back = ours(Op::give_back);
        if (round == 0) {
            continue;  // starts the workers, fills caches
        }
        whole.add(bare[0], lease[0]);
        against_ioctls.add(calls[0], lease[0]);
        until_free.add(bare[1], given_back[0] + given_back[1]);
        closing.add(calls[1], given_back[1]);
    }
    Table table({"what", "anchor", "anchor's time", "ours/anchor", "target"});
    table.row({"Acquire + Release + close", "root: fork, cgroup, uid, exec, ioctls, close",
               duration(median(whole.anchor)), ratio(whole), "<= 1.15"});
    table.row({"the same, until the device is available", "the same, until the process is reaped",
               duration(median(until_free.anchor)), ratio(until_free), "-"});
    table.row({"Acquire + Release + close", "bare ioctls in one process", duration(median(against_ioctls.anchor)),
               ratio(against_ioctls), "for information"});
    table.print(fmt::format("A lease of an edu device; medians of {} rounds (smallest-largest)", lease_rounds));
    Table close_table({"what", "anchor", "anchor's time", "ours - anchor", "target"});
    close_table.row({"close of the last descriptor until \"available\" on the bus", "close in the bare process",
                     duration(median(closing.anchor)), difference(closing), "<= 50 ms"});
    close_table.print("How soon a device is free");
}

struct Size {
    const char* name;
    std::uint64_t length;
    std::size_t repeats;
};
constexpr std::array<Size, 3> sizes{{{"4 KiB", 4 << 10, 100}, {"2 MiB", 2 << 20, 30}, {"256 MiB", 256 << 20, 5}}};

void measure_maps(Helper& ours, Helper& bare) {
    ours(Op::hold);
    bare(Op::hold);
    std::array<std::array<Rounds, 3>, sizes.size()> figures;
    std::array<std::array<Rounds, 3>, sizes.size()> above_floor;
    std::vector<double> trips;
    for (std::size_t round = 0; round <= map_rounds; ++round) {
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            const auto anchor = maps_of(bare, Op::map, sizes[i].length, sizes[i].repeats);
            const auto lease = maps_of(ours, Op::map, sizes[i].length, sizes[i].repeats);
            if (round == 0) {
                continue;
            }
            const double trip = maps_of(ours, Op::round_trip, 0, sizes[i].repeats)[0];
            const double checked = maps_of(ours, Op::floor_trip, sizes[i].length, sizes[i].repeats)[0];
            const std::array<double, 3> least{checked, trip, checked + trip};
            for (std::size_t part = 0; part < 3; ++part) {
                figures[i][part].add(anchor[part], lease[part]);
                above_floor[i][part].add(anchor[part] + least[part], lease[part]);
            }
        }
        trips.push_back(maps_of(ours, Op::round_trip, 0, 100)[0]);
    }
    const double trip = median(trips);
    constexpr std::array<const char*, 3> parts{"Map", "Unmap", "Map + Unmap"};
    Table table(
        {"what", "size", "bare ioctls", "ours/bare", "on top, in round trips", "target", "ours/(bare + least)"});
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        for (std::size_t part = 0; part < 3; ++part) {
            const Rounds& rounds = figures[i][part];
            const char* target = i == 0                ? (part == 2 ? "<= 1 each" : "<= 1 round trip")
                                 : i == 2 && part == 0 ? "<= 2.5"
                                                       : "-";
            table.row({parts[part], sizes[i].name, duration(median(rounds.anchor)), ratio(rounds),
                       in_round_trips(rounds, trip), target, ratio(above_floor[i][part])});
        }
    }
    table.print(
        fmt::format("Maps over the lease channel; one raw SCM_RIGHTS round trip: {} ({}-{}); medians of {} rounds",
                    duration(trip), duration(quantile(trips, 0)), duration(quantile(trips, 1)), map_rounds));
}

// Memory that nobody has mapped before, as a program maps its own once, and the same memory again.
void measure_new_memory(Helper& ours, Helper& bare) {
    constexpr std::uint64_t length = 256 << 20;
    struct Kind {
        const char* name;
        Op op;
        const char* target;
    };
    constexpr std::array<Kind, 2> kinds{{{"4 KiB", Op::map_twice, "<= 2.5"}, {"2 MiB", Op::map_twice_2m, "<= 1.1"}}};
    Table table({"256 MiB of pages of", "map", "bare ioctl", "ours/bare", "target"});
    for (const Kind& kind : kinds) {
        std::array<Rounds, 2> figures;
        for (std::size_t round = 0; round < map_rounds; ++round) {
            const Seconds anchor = bare(kind.op, length);
            const Seconds lease = ours(kind.op, length);
            for (std::size_t map = 0; map < 2; ++map) {
                figures[map].add(anchor[map], lease[map]);
            }
        }
        table.row({kind.name, "first", duration(median(figures[0].anchor)), ratio(figures[0]), kind.target});
        table.row({kind.name, "second", duration(median(figures[1].anchor)), ratio(figures[1]), "-"});
    }
    table.print(fmt::format("New memory, touched by who maps it; medians of {} rounds", map_rounds));
}

// The lease that the maps were measured with is still there, and three connections: two of the user, and the system
// bus.
void measure_memory() {
    const pid_t vault = process_called("iommud-vault");
    Table table = memory_table();
    memory_row(table, "keeper", children_called(vault, "iommud-keeper"), "<= 400 KB");
    memory_row(table, "worker", children_called(vault, "iommud-worker"), "<= 1536 KB");
    memory_row(table, "monitor, 1 lease", {process_called("iommud")}, "-");
    memory_row(table, "vault", {vault}, "-");
    table.print("Memory, with one lease");
}

void run(uid_t user, const std::string& cgroup, bool acquire_alone) {
    const Echoes echoes = start_echoes();
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "bench_bare_exec";
    const Memories memories = make_memories({sizes[0].length, sizes[1].length, sizes[2].length});
    Helper ours([user, &echoes, &memories] {
        become_user(user, 64 << 10);
        return lease_client("/run/iommud/bus", our_device, echoes, memories);
    });
    Helper process([&cgroup, &program] { return bare_process(anchor_device, cgroup, program); });
    Helper ioctls([&memories] { return bare_ioctls(anchor_device, memories); });
    measure_acquire(ours, process, ioctls);
    if (acquire_alone) {
        return;
    }
    measure_maps(ours, ioctls);
    measure_new_memory(ours, ioctls);
    measure_memory();
}

}  // namespace
}  // namespace iommud::bench

int main(int argc, char** argv) {
    const bool acquire_alone = argc == 4 && std::strcmp(argv[3], "acquire") == 0;
    if (argc != 3 && !acquire_alone) {
        std::fputs("usage: leases USER-ID CGROUP [acquire]\n", stderr);
        return 2;
    }
    try {
        iommud::bench::run(static_cast<uid_t>(std::atoi(argv[1])), argv[2], acquire_alone);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "leases: %s\n", error.what());
        return 1;
    }
}
