// The uids that keepers and workers run as: the daemon's own, nobody's else. A user who had one of them, in /etc/passwd
// or as a subordinate uid, could signal, stop and renice keepers, and would share their count of pinned memory (C4).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::vault {

struct UidRange {
    std::uint32_t first = 0;
    std::uint32_t last = 0;  // first <= last
    [[nodiscard]] bool contains(std::uint32_t uid) const { return first <= uid && uid <= last; }
    [[nodiscard]] bool overlaps(const UidRange& other) const { return first <= other.last && other.first <= last; }
};

struct UidRanges {
    UidRange keepers{ipc::keeper_uid_base, ipc::worker_uid_base - 1};
    UidRange workers{ipc::worker_uid_base, ipc::worker_uid_base + ipc::undertaker_slot};
};

// "1879048192-2013265919". Only from 0x70000000 to 0x7fffffff, where policy gives nobody anything.
[[nodiscard]] Result<UidRange> parse_uid_range(std::string_view text);

// The uid itself and the subordinate uids of whoever has it, by name or by number. The texts are of /etc/passwd and
// /etc/subuid; a line that cannot be read gives nobody anything.
[[nodiscard]] std::vector<UidRange> uids_of(std::uint32_t uid, std::string_view passwd, std::string_view subuid);

// Whether the two lie apart, and the workers' has room for every connection and the undertakers.
[[nodiscard]] Result<void> check_ranges(const UidRanges& ranges);

// Fails with file, line and owner when one of `uids` is somebody's. The texts are of /etc/passwd and /etc/subuid.
[[nodiscard]] Result<void> owned_by_nobody(const UidRange& uids, std::string_view passwd, std::string_view subuid);
// The same with the files as they are now; one that is not there has nobody.
[[nodiscard]] Result<void> owned_by_nobody(const UidRange& uids);

}  // namespace iommud::vault
