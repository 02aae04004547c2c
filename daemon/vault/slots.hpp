// Which of the daemon's own uids belongs to which account: RUN/slots, lines "ACCOUNT UID". Such a uid is never given to
// a second account before a reboot: what an old keeper's client kept pinned still counts under it (hazard H11).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/vault/uid_ranges.hpp"

namespace iommud::vault {

using Slots = std::map<std::uint32_t, std::uint32_t>;  // an account's uid -> the uid of its keepers

// Refuses a file that is not exactly of that form, or names an account or a uid twice.
[[nodiscard]] Result<Slots> parse_slots(std::string_view text);

class SlotsFile {
  public:
    // Opens or makes the file, which must be a regular file of ours that nobody else may write. Throws Fatal. New
    // accounts get uids of `range`, in turn; those in the file keep theirs, of whatever range they were.
    SlotsFile(const std::string& path, UidRange range);

    // The uid of the account's keepers; a new one is in the file before it is returned. Fails when the range is used
    // up, the file cannot be written, or somebody has got the uid since the vault's start (/etc/passwd, /etc/subuid).
    [[nodiscard]] Result<std::uint32_t> uid_of(std::uint32_t account_uid);
    [[nodiscard]] const Slots& all() const { return slots_; }

  private:
    UniqueFd file_;
    Slots slots_;
    UidRange range_;
    std::uint64_t next_;  // beyond the range: used up
};

}  // namespace iommud::vault
