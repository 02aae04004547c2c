// Small files: the kernel's, in sysfs, procfs, cgroups; and the vault's own.
#pragma once

#include <string>
#include <string_view>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::vault {

// At most 64 KiB, without the last newline. Errors are internal, "PATH: what errno says".
[[nodiscard]] Result<std::string> read_small(const std::string& path);
// A file of the administrator's, whole; empty when it is not there. Fails when it cannot be read, or is longer than 16
// MiB: what was not read is not known.
[[nodiscard]] Result<std::string> read_whole(const std::string& path);
// In one write(2), to a file that is there.
[[nodiscard]] Result<void> write_small(const std::string& path, std::string_view text);

// Opens or makes a regular file of ours that nobody else may write, to append to. Throws Fatal.
[[nodiscard]] UniqueFd open_own(const std::string& path);
// All of it. Throws Fatal when it is longer than `most`; `path` is for the message.
[[nodiscard]] std::string read_own(BorrowedFd file, const std::string& path, std::size_t most);

}  // namespace iommud::vault
