#include "policy/account.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace iommud::policy {

void find_account_entries(const Policy& policy, std::uint32_t uid, std::span<const std::uint32_t> groups,
                          std::vector<std::uint32_t>& entries) {
    const AccountIndex& index = policy.account_index;
    if (const auto found = index.by_user.find(uid); found != index.by_user.end()) {
        entries.push_back(found->second);
        return;
    }
    index.by_range.find(uid, entries);
    if (!entries.empty() || index.by_group.empty()) {
        return;
    }
    for (const std::uint32_t group : groups) {
        const auto found = index.by_group.find(group);
        if (found != index.by_group.end() &&
            std::find(entries.begin(), entries.end(), found->second) == entries.end()) {
            entries.push_back(found->second);
        }
    }
}

std::optional<std::uint32_t> payer_of(const Policy& policy, const Subject& subject) {
    const std::uint32_t bearer = bearer_of(subject);
    std::vector<std::uint32_t> entries;
    find_account_entries(policy, bearer, {}, entries);
    return entries.empty() ? policy.names.owner_of(bearer) : std::optional(bearer);
}

void find_account_entries(const Policy& policy, const Subject& subject, std::vector<std::uint32_t>& entries) {
    const std::optional<std::uint32_t> payer = payer_of(policy, subject);
    if (!payer) {
        return;
    }
    // The groups of the one who asks are not those of the one who pays; but a subordinate uid that kept them shows
    // which its owner has.
    std::vector<std::uint32_t> groups;
    if (subject.container || *payer != subject.uid) {
        groups = policy.names.groups_of(*payer);
    }
    // Not those of a container's process: the container's author chose them (hazard C26).
    if (!subject.container) {
        groups.insert(groups.end(), subject.groups.begin(), subject.groups.end());
    }
    find_account_entries(policy, *payer, groups, entries);
}

std::string owner_text(const Policy& policy, const Subject& subject) {
    const std::uint32_t bearer = bearer_of(subject);
    const std::optional<std::uint32_t> payer = payer_of(policy, subject);
    if (payer == bearer) {
        return {};
    }
    return fmt::format(": /etc/subuid gives uid {} to {}", bearer,
                       payer ? policy.names.user_text(*payer) : "several users");
}

std::optional<Account> account_of(const Policy& policy, const Subject& subject) {
    const std::optional<std::uint32_t> payer = payer_of(policy, subject);
    if (subject.uid >= first_daemon_uid || bearer_of(subject) >= first_daemon_uid || !payer ||
        *payer >= first_daemon_uid) {
        return std::nullopt;
    }
    std::vector<std::uint32_t> entries;
    find_account_entries(policy, subject, entries);
    if (entries.size() != 1) {
        return std::nullopt;
    }
    const AccountEntry& entry = policy.accounts[entries[0]];
    return Account{entry.charge.value_or(*payer), entry.memory, entry.leases, entry.devices, entry.group};
}

void build_account_index(Policy& policy) {
    policy.account_index = {};
    AccountIndex& index = policy.account_index;
    for (std::uint32_t i = 0; i < policy.accounts.size(); ++i) {
        const AccountEntry& account = policy.accounts[i];
        if (account.user) {
            index.by_user.emplace(*account.user, i);
        } else if (account.uids) {
            index.by_range.add(*account.uids, i);
        } else if (account.group) {
            index.by_group.emplace(*account.group, i);
        }
    }
    index.by_range.build();
}

}  // namespace iommud::policy
