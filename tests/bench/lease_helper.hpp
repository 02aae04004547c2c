// Ours in the virtual machine: an unprivileged user, through libiommud.
#pragma once

#include <string>

#include "tests/bench/helper.hpp"

namespace iommud::bench {

// Sockets to processes that receive packets of a request's size with a descriptor, close that, and answer with a
// reply's size: one raw round trip. They end with the last copies of these.
struct Echoes {
    int plain = -1;
    // Waits with poll for two sockets, and asks what a keeper must ask of a memory before it is mapped: seals, mode,
    // file system, the first hole. Less cannot be done by a process that holds what it maps for somebody else.
    int floor = -1;
};
[[nodiscard]] Echoes start_echoes();

// On one connection to `socket` that is kept, as whoever calls it. `memories` outlives it.
// Op::acquire: {Acquire, Release and all closes; 0}. Op::give_back: {Acquire; from the first close of the lease's
// descriptors until the bus says that the device is available}. Op::map: {map, unmap}. Op::round_trip, Op::floor_trip:
// {it, 0}.
[[nodiscard]] Worker lease_client(const std::string& socket, std::string address, const Echoes& echoes,
                                  const Memories& memories, std::uint64_t reserve = std::uint64_t{512} << 20);

}  // namespace iommud::bench
