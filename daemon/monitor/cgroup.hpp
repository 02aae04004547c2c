// Which cgroup a process is in: by the cgroup's id, which no other ever has, and not by its path, which another may
// have later.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.hpp"

namespace iommud::monitor {

using CgroupId = std::uint64_t;  // never 0

// The path in the version 2 hierarchy, from the text of /proc/PID/cgroup: "/" for the root. Empty where there is none,
// or where version 1 hierarchies stand beside it: the engines' containers are told apart in those then.
[[nodiscard]] std::string unified_path(std::string_view proc_cgroup);

// The ids of the cgroup at `path` and of those above it, but for the root, innermost first. `root` is where the
// hierarchy is mounted. Errors: kernel_unsupported (no version 2 there), internal (a part cannot be looked at).
[[nodiscard]] Result<std::vector<CgroupId>> cgroup_ids(const std::string& path,
                                                       const std::string& root = "/sys/fs/cgroup");

// Whether the cgroup that was at `path` with this id is surely gone: there is none at its path, or another. Version 2
// lets nobody rename one (kernel/cgroup/cgroup.c: no rename in cgroup_kf_syscall_ops).
[[nodiscard]] bool cgroup_gone(const std::string& path, CgroupId id, const std::string& root = "/sys/fs/cgroup");

}  // namespace iommud::monitor
