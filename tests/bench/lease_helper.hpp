// Ours in the virtual machine: an unprivileged user, through libiommud.
#pragma once

#include <string>

#include "tests/bench/helper.hpp"

namespace iommud::bench {

// On one connection to `socket` that is kept, as whoever calls it. `echo` is what start_echo gave, for Op::round_trip;
// `memories` outlives it.
// Op::acquire: {Acquire, Release and all closes; 0}. Op::give_back: {Acquire; from the first close of the lease's
// descriptors until the bus says that the device is available}. Op::map: {map, unmap}. Op::round_trip: {it, 0}.
[[nodiscard]] Worker lease_client(const std::string& socket, std::string address, int echo, const Memories& memories);

// Starts a process that receives packets of a request's size with a descriptor, closes that, and answers with a reply's
// size: one raw round trip. Returns the socket to it; the process ends with the last copy of that.
[[nodiscard]] int start_echo();

}  // namespace iommud::bench
