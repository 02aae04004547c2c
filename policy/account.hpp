// Who pays, and how much at most.
#pragma once

#include <span>

#include "policy/policy.hpp"
#include "policy/subject.hpp"

namespace iommud::policy {

struct Account {
    std::uint32_t uid = 0;     // pays; not always the one who asks ("charge")
    std::uint64_t memory = 0;  // bytes pinned at most, over all leases
    std::uint32_t leases = 0;
    std::uint32_t devices = 0;
    std::optional<std::uint32_t> group{};  // by whose entry it is; nothing when it is by a user's or a uid range's
    bool operator==(const Account&) const = default;
};

// By whose uid an account is looked for: in a container its root's, else the one of whoever asks.
[[nodiscard]] inline std::uint32_t bearer_of(const Subject& subject) {
    return subject.container ? subject.container->payer : subject.uid;
}

// Whose account it is unless policy says "charge": the bearer's, if a user's or a uid range's entry is about him; else
// that of the owner of his uid (Names::owner_of). Nothing when /etc/subuid gives the uid to several.
[[nodiscard]] std::optional<std::uint32_t> payer_of(const Policy& policy, const Subject& subject);

// For the end of a sentence about the account: ": /etc/subuid gives uid 100005 to alice (uid 1000)", or to several
// users; empty where no owner matters.
[[nodiscard]] std::string owner_text(const Policy& policy, const Subject& subject);

// The groups that an allow looks at: those of the process, or in a container those that /etc/group gives whose account
// it is.
[[nodiscard]] inline const std::vector<std::uint32_t>& groups_of(const Policy& policy, const Subject& subject) {
    return subject.container ? policy.names.groups_of(bearer_of(subject)) : subject.groups;
}

// User before uid range before owner in /etc/subuid before group. Nothing for a subject without an account, for one
// whose groups have several, for a uid with several owners, and for the daemon's own uids: no account is no lease.
[[nodiscard]] std::optional<Account> account_of(const Policy& policy, const Subject& subject);

// The most specific entries for this uid and these groups, by number in Policy::accounts: more than one only when
// several groups have an account.
void find_account_entries(const Policy& policy, std::uint32_t uid, std::span<const std::uint32_t> groups,
                          std::vector<std::uint32_t>& entries);
void find_account_entries(const Policy& policy, const Subject& subject, std::vector<std::uint32_t>& entries);
void build_account_index(Policy& policy);

}  // namespace iommud::policy
