// The least that a lease channel can cost: the bare ioctls, done by another process that is asked over a socket.
#pragma once

#include <string>

#include "tests/bench/helper.hpp"

namespace iommud::bench {

// Op::hold has another process, of another user, hold the device. Op::churn asks it over a SOCK_SEQPACKET socket for
// each map, with the memory's descriptor, and for each unmap; it listens to a second socket, too, and checks the
// memory, as whoever maps for somebody else has to. `memories` outlives it.
[[nodiscard]] Worker asking_for_ioctls(std::string address, const Memories& memories);

}  // namespace iommud::bench
