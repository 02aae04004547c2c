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

// What a file of ours has in it.
struct Lines {
    std::string whole;     // every line that has its end
    bool cut_off = false;  // whether there was more: whoever wrote it did not come to the end. The journal says so
    UniqueFd file;         // to append to
};
// Opens or makes a regular file of ours that nobody else may write. Throws Fatal when it is not one, cannot be read, or
// is longer than `most`.
[[nodiscard]] Lines read_lines(const std::string& path, std::size_t most);
// The file is `text` or what it was before, whatever happens meanwhile: written beside it, then renamed. Returns it, to
// append to. Waits for no disk: /run is memory.
[[nodiscard]] Result<UniqueFd> replace_own(const std::string& path, std::string_view text);
// At the end of a file that one of the two above has opened. Fails when not all of it was written.
[[nodiscard]] Result<void> append_own(BorrowedFd file, std::string_view text);

}  // namespace iommud::vault
