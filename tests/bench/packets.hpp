// One packet with a descriptor over SOCK_SEQPACKET, with bare calls.
#pragma once

#include <cstddef>

namespace iommud::bench {

// Throws std::runtime_error. `fd` is sent with it, unless it is -1.
void send_packet(int channel, const void* bytes, std::size_t size, int fd = -1);

// False when the other end is closed. The caller owns *fd, -1 when none came.
[[nodiscard]] bool receive_packet(int channel, void* bytes, std::size_t size, int* fd);

}  // namespace iommud::bench
