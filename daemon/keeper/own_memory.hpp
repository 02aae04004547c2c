// The keeper's own memory, all of it there and locked before it serves. In an account whose memory cgroup is full a
// first touch of a page never returns, while an ioctl gets ENOMEM: so there are no first touches (hazard C14).
#pragma once

#include <cstdint>

namespace iommud::keeper {

// After everything was allocated that lasts; what little is allocated later comes from a reserve. False: the limit of
// locked memory is too low for it.
[[nodiscard]] bool lock_own_memory();

// What lock_own_memory may lock at most. type1 counts it together with what clients map.
inline constexpr std::uint64_t most_own_memory = 16ULL << 20;

}  // namespace iommud::keeper
