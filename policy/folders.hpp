// Reads policy files from drop-in folders. The only part of policy/ that touches files besides read_names.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "policy/load.hpp"

namespace iommud::policy {

struct FoldersRead {
    std::vector<SourceFile> files;  // sorted by name; load() them only when there are no refusals
    Diagnostics refusals;           // a file or folder that may not be used, by name
};

// /etc/iommud/policy.d, /run/iommud/policy.d, /usr/lib/iommud/policy.d.
[[nodiscard]] std::vector<std::string> default_folders();

// The *.json of each folder; a name in an earlier folder hides the same name in a later one. Each is opened once,
// without following a link, and what was opened is checked: a regular file, owned by `owner`, not writable by group or
// others, at most 1 MiB, and the same after it was read. So is each folder, but for the last. A folder that does not
// exist has no files. Does not block on a FIFO.
[[nodiscard]] FoldersRead read_folders(std::span<const std::string> folders, std::uint32_t owner);

// One file, as `iommuctl policy check FILE` names it: any owner, links followed; regular and at most 1 MiB.
[[nodiscard]] tl::expected<SourceFile, Diagnostic> read_source(const std::string& path);

// The same for a file or, when it is a folder, for each *.json in it: adds to `read`.
void read_named(const std::string& path, FoldersRead& read);

// /etc/passwd, /etc/group and /etc/subuid below `root` ("" for the machine's own). Only subuid may be missing: a deny
// must not quietly lose its subordinate uids.
[[nodiscard]] tl::expected<Names, Diagnostic> read_names(const std::string& root);

}  // namespace iommud::policy
