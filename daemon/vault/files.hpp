// Small files of the kernel's: sysfs, procfs, cgroups.
#pragma once

#include <string>
#include <string_view>

#include "daemon/base/result.hpp"

namespace iommud::vault {

// At most 64 KiB, without the last newline. Errors are internal, "PATH: what errno says".
[[nodiscard]] Result<std::string> read_small(const std::string& path);
// In one write(2), to a file that is there.
[[nodiscard]] Result<void> write_small(const std::string& path, std::string_view text);

}  // namespace iommud::vault
