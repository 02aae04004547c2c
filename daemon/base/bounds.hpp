// The bounds that two of our programs look at, or policy and a program; those of a single frame's fields are in
// daemon/ipc. Each has one name: where two ends check the same bound by two constants, valid input becomes a hang-up
// (hazard C27). Policy checks when it is loaded, the worker when a client asks, the monitor before it sends, vault and
// keeper whatever they are sent.
#pragma once

#include <cstddef>
#include <cstdint>

namespace iommud {

// Bytes, of any limit or reservation: 1 PiB, more than a machine has. The sum over most_leases still fits 64 bits.
inline constexpr std::uint64_t most_memory = std::uint64_t{1} << 50;

// Of one lease. Where the keeper maps by address, a map is an area of its memory, and the hole before it, which comes
// from an unmap or from alignment, is another: twice as many and its own have to fit into vm.max_map_count.
inline constexpr std::uint32_t most_maps = 32'000;
inline constexpr std::uint32_t kernel_map_count = 65'530;  // DEFAULT_MAX_MAP_COUNT, include/linux/mm.h
inline constexpr std::uint32_t keeper_own_areas = 256;     // program, libraries, heap, stack: some 40
static_assert(2 * most_maps + 1 + keeper_own_areas <= kernel_map_count);

inline constexpr std::size_t most_lease_devices = 32;  // of one lease, and so of one request
inline constexpr std::size_t longest_text = 256;       // bytes: a label, a reason, a user
inline constexpr std::size_t longest_rule_id = 64;     // bytes

// What the vault holds at most, for all accounts together: leases; endpoints and marks of devices.
inline constexpr std::size_t most_leases = 4096;
inline constexpr std::size_t most_things = 4096;
inline constexpr std::size_t longest_thing_name = 255;  // bytes

}  // namespace iommud
