// Users, groups and subordinate uids as /etc/passwd, /etc/group and /etc/subuid have them. No name service: those
// block, load modules and can be answered by others (DESIGN I10). A value: nothing here reads a file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "policy/range_index.hpp"

namespace iommud::policy {

struct SubordinateRange {
    std::uint32_t owner = 0;
    UidRange range;
};

class Names {
  public:
    Names() = default;
    // The three files' text. Lines that are not well-formed are passed over, as the C library does.
    Names(std::string_view passwd, std::string_view group, std::string_view subuid);

    [[nodiscard]] std::optional<std::uint32_t> uid_of(std::string_view user) const;
    [[nodiscard]] std::optional<std::uint32_t> gid_of(std::string_view group) const;
    // "alice (uid 1000)", or "uid 1000" when no user has it.
    [[nodiscard]] std::string user_text(std::uint32_t uid) const;
    // "vfio", or "gid 107".
    [[nodiscard]] std::string group_text(std::uint32_t gid) const;

    // By both files: primary groups and memberships of every user with this uid. Sorted, no duplicates.
    [[nodiscard]] const std::vector<std::uint32_t>& groups_of(std::uint32_t uid) const;
    // Who answers for `uid`, and pays for it: a user of /etc/passwd for himself, whatever /etc/subuid says; a uid of
    // somebody's range in /etc/subuid, that somebody; any other uid, itself. Nothing when several have it in a range.
    [[nodiscard]] std::optional<std::uint32_t> owner_of(std::uint32_t uid) const;
    // Appends the uids of the users whose /etc/subuid holds `uid`.
    void owners_of(std::uint32_t uid, std::vector<std::uint32_t>& owners) const;
    // Every line of /etc/subuid that shares a uid with `range`.
    [[nodiscard]] std::vector<SubordinateRange> subordinate_in(UidRange range) const;
    // Every user with a name: uid by name.
    [[nodiscard]] const std::map<std::string, std::uint32_t, std::less<>>& users() const { return uids_; }

  private:
    void read_passwd(std::string_view text);
    void read_group(std::string_view text);
    void read_subuid(std::string_view text);

    std::map<std::string, std::uint32_t, std::less<>> uids_;
    std::map<std::string, std::uint32_t, std::less<>> gids_;
    std::unordered_map<std::uint32_t, std::string> user_names_;
    std::unordered_map<std::uint32_t, std::string> group_names_;
    std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> groups_;
    std::vector<SubordinateRange> subordinate_;
    RangeIndex subordinate_index_;
};

}  // namespace iommud::policy
