// What a process gives up before it looks at input. Every function throws Fatal when the kernel refuses: a process
// that could not be confined does not run.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <span>

namespace iommud::sandbox {

// exec grants nothing any more (set-user-id, file capabilities).
void forbid_new_privileges();

// No core file, no ptrace by the same uid, /proc/self owned by root. A change of uid or an exec undoes or redoes this
// as the kernel sees fit: call it last.
void forbid_dumps();

// Keeps exactly `capabilities` (CAP_* numbers) in the effective and permitted sets, and nothing in the inheritable and
// ambient ones; what the process does not have stays away. Bounds them too where CAP_SETPCAP allows it.
void keep_capabilities(std::span<const int> capabilities);

// Soft and hard limit of a resource (RLIMIT_*).
void set_limit(int resource, rlim_t limit);

// The effective set as a mask of bits by number; for logs and tests.
[[nodiscard]] std::uint64_t effective_capabilities();

}  // namespace iommud::sandbox
