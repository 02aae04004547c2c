// Which of the daemon's own uids belongs to which account: RUN/slots. Such a uid is never given to a second account
// before a reboot: what an old keeper's client kept pinned still counts under it (hazard H11). An account that holds
// nothing may be forgotten, its uid is not: the file has who has a uid now, and, as ranges, every uid ever given.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "daemon/base/result.hpp"
#include "daemon/vault/holdings.hpp"
#include "daemon/vault/uid_ranges.hpp"

namespace iommud::vault {

// An account that holds nothing keeps its uid and its cgroup while it is among the last so many: it comes back to what
// clients left pinned and charged there, and a loop of Acquire and Release takes no uid each time.
inline constexpr std::size_t most_idle_accounts = 256;
inline constexpr std::size_t most_accounts = most_leases + most_idle_accounts;

struct Slots {
    std::map<std::uint32_t, std::uint32_t> accounts;  // an account's uid -> the uid of its keepers
    std::map<std::uint32_t, std::uint32_t> given;     // first -> last of each range of uids ever given; those apart
    bool operator==(const Slots&) const = default;
};

// Lines "ACCOUNT UID", and "given FIRST-LAST"; the uids of the first are given, too. Refuses anything else, and an
// account or a uid named twice.
[[nodiscard]] Result<Slots> parse_slots(std::string_view text);

class SlotsFile {
  public:
    // Opens or makes the file, which must be a regular file of ours that nobody else may write. Throws Fatal. A last
    // line that was cut off is passed over, and a uid with it. New accounts get uids of `range`, in turn; those in the
    // file keep theirs, of whatever range they were.
    SlotsFile(const std::string& path, UidRange range);

    // The uid of the account's keepers; a new one is in the file before it is returned. Fails when there are
    // most_accounts, the range is used up, the file cannot be written, or somebody has got the uid since the vault's
    // start (/etc/passwd, /etc/subuid).
    [[nodiscard]] Result<std::uint32_t> uid_of(std::uint32_t account_uid);
    [[nodiscard]] bool knows(std::uint32_t account_uid) const { return slots_.accounts.contains(account_uid); }
    [[nodiscard]] const Slots& all() const { return slots_; }

    // An account and its keepers' uid.
    using Slot = std::pair<std::uint32_t, std::uint32_t>;
    // Who has been quiet the longest of those that are not among `busy` accounts; nothing while no more than
    // most_idle_accounts less one are quiet.
    [[nodiscard]] std::optional<Slot> surplus(const std::set<std::uint32_t>& busy) const;
    // The next time the account gets another uid. In the file with the next new account.
    void forget(std::uint32_t account_uid);

  private:
    [[nodiscard]] Result<void> write() const;
    [[nodiscard]] std::uint64_t next() const;  // beyond the range: used up

    std::string path_;
    Slots slots_;
    UidRange range_;
    std::map<std::uint32_t, std::uint64_t> used_;  // account -> when, in uid_of() calls
    std::uint64_t calls_ = 0;
};

}  // namespace iommud::vault
