// A container's first process: what /proc says of it by number, worth something only while its pidfd's process still
// runs (I3).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/monitor/process_table.hpp"

namespace iommud::monitor {

// A container's first process, as of now.
struct Init {
    UniqueFd pidfd;
    std::uint64_t start = 0;                // in clock ticks since boot: no other process of this number has the same
    std::string cgroup;                     // its path in the version 2 hierarchy, "/" for the root; empty: not known
    Result<std::vector<CgroupId>> cgroups;  // of that path: see cgroup_ids()
};
[[nodiscard]] Result<Init> look_at_init(pid_t pid, const ProcessTable& table = processes());

// Field 22 of the text of /proc/PID/stat, whatever the process calls itself.
[[nodiscard]] std::optional<std::uint64_t> start_time(std::string_view proc_stat);

}  // namespace iommud::monitor
