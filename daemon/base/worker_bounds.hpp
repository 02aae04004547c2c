// What workers may take of the machine's memory: each, and all together in a cgroup of theirs.
#pragma once

#include <cstdint>

#include "daemon/base/bytes.hpp"

namespace iommud {

// sd-bus takes messages of up to 128 MiB; no call of ours needs one. An administrator's GetManagedObjects with 4,096
// leases takes 20 MiB; a user sees the devices, and of the leases his own.
inline constexpr std::uint64_t most_worker_data = 16 * MiB;
inline constexpr std::uint64_t most_admin_worker_data = 48 * MiB;

// One user has at most 32 connections, one container 64 (Admission). With every one of theirs at its bound, all other
// workers that there can be have what they usually take: the kernel has no reason to kill one of them.
inline constexpr std::uint64_t most_workers_of_one = 64;
inline constexpr std::uint64_t usual_worker = 1536 * KiB;  // with its sockets' buffers
inline constexpr std::uint64_t workers_memory = 3 * GiB;
inline constexpr std::uint64_t most_workers = 1088;
static_assert(most_workers_of_one * most_worker_data + most_workers * usual_worker <= workers_memory);

}  // namespace iommud
