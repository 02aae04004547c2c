// The daemon's processes, and what memory is theirs alone.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/bench/table.hpp"

namespace iommud::bench {

// The children of `parent` that are called `name`.
[[nodiscard]] std::vector<pid_t> children_called(pid_t parent, const std::string& name);

// The one process that is called so; fails where there are several.
[[nodiscard]] pid_t process_called(const std::string& name);

// Bytes of Private_Dirty in /proc/PID/smaps_rollup: needs root.
[[nodiscard]] double private_dirty(pid_t pid);

// Adds a row: of how many processes, median, largest.
void memory_row(Table& table, const std::string& what, const std::vector<pid_t>& pids, const std::string& target);
[[nodiscard]] Table memory_table();

}  // namespace iommud::bench
