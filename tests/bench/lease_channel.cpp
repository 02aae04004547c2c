// What the lease channel itself takes: lease_channel SOCKET DEVICE, on the simulated kernel, where a map is no ioctl.
// So that the whole is on top of the kernel's work; against one raw round trip with a descriptor.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "tests/bench/lease_helper.hpp"
#include "tests/bench/maps.hpp"
#include "tests/bench/table.hpp"

namespace {

using namespace iommud::bench;

constexpr std::size_t rounds = 11;
constexpr std::size_t repeats = 2000;

void run(const std::string& socket, const std::string& device) {
    const Echoes echoes = start_echoes();
    const Memories memories = make_memories({4096});
    Helper helper([&socket, &device, &echoes, &memories] { return lease_client(socket, device, echoes, memories); });
    helper(Op::hold);
    std::array<Rounds, 3> parts;
    Rounds floor;
    for (std::size_t round = 0; round <= rounds; ++round) {
        const double trip = maps_of(helper, Op::round_trip, 0, repeats)[0];
        const auto maps = maps_of(helper, Op::map, 4096, repeats);
        for (std::size_t part = 0; part < parts.size() && round > 0; ++part) {
            parts[part].add(trip, maps[part]);
        }
        const double least = maps_of(helper, Op::floor_trip, 4096, repeats)[0];
        if (round > 0) {
            floor.add(trip, least);
        }
    }
    Table table({"what", "raw round trip", "ours/round trip", "target"});
    table.row({"Map of 4 KiB", duration(median(parts[0].anchor)), ratio(parts[0]), "<= 1"});
    table.row({"Unmap of 4 KiB", duration(median(parts[1].anchor)), ratio(parts[1]), "<= 1"});
    table.row({"least for a Map: poll, and the checks", duration(median(floor.anchor)), ratio(floor), "-"});
    table.row({"Map + Unmap of 4 KiB", duration(median(parts[2].anchor)), ratio(parts[2]), "<= 1 each"});
    table.print(
        fmt::format("The lease channel, simulated kernel; anchor: one SCM_RIGHTS round trip on SOCK_SEQPACKET; "
                    "medians of {} rounds (smallest-largest)",
                    rounds));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("usage: lease_channel SOCKET DEVICE\n", stderr);
        return 2;
    }
    try {
        run(argv[1], argv[2]);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "lease_channel: %s\n", error.what());
        return 1;
    }
}
