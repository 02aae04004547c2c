#include "policy/check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "policy/account.hpp"

namespace iommud::policy {
namespace {

// The number of the entry that has `key` already; notes this one otherwise.
template <class Key>
std::optional<std::uint32_t> seen(std::map<Key, std::uint32_t>& entries, const Key& key, std::uint32_t number) {
    const auto [at, inserted] = entries.emplace(key, number);
    return inserted ? std::nullopt : std::optional(at->second);
}

void report_twice(LoadContext& context, const Policy& policy, const EntryPlaces& places, std::uint32_t first,
                  std::uint32_t second) {
    const AccountEntry& earlier = policy.accounts[first];
    context.error_at(places.accounts[second],
                     fmt::format("{} is equally specific as {} at {}: which of the two holds?",
                                 policy.accounts[second].text, earlier.text, policy.text(earlier.where)));
}

void check_ranges(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    std::vector<std::uint32_t> ranges;
    for (std::uint32_t i = 0; i < policy.accounts.size(); ++i) {
        if (policy.accounts[i].uids) {
            ranges.push_back(i);
        }
    }
    std::sort(ranges.begin(), ranges.end(), [&accounts = policy.accounts](std::uint32_t left, std::uint32_t right) {
        return *accounts[left].uids < *accounts[right].uids;
    });
    // Compared with the one that reaches furthest so far, an overlap with any earlier one is found.
    for (std::size_t i = 1, furthest = 0; i < ranges.size(); ++i) {
        const UidRange& reach = *policy.accounts[ranges[furthest]].uids;
        const UidRange& range = *policy.accounts[ranges[i]].uids;
        if (reach.overlaps(range)) {
            const auto [first, second] = std::minmax(ranges[furthest], ranges[i]);
            report_twice(context, policy, places, first, second);
        }
        furthest = range.last > reach.last ? i : furthest;
    }
}

// A user of two groups that both have an account, and without one of its own.
void check_memberships(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    if (policy.account_index.by_group.size() < 2) {
        return;
    }
    for (const auto& [name, uid] : policy.names.users()) {
        std::vector<std::uint32_t> entries;
        find_account_entries(policy, uid, policy.names.groups_of(uid), entries);
        if (entries.size() > 1) {
            const auto [first, second] = std::minmax_element(entries.begin(), entries.end());
            context.error_at(places.accounts[*second],
                             fmt::format("{} is in {} and, at {}, in {}: give {} an account of its own", name,
                                         policy.accounts[*second].text, policy.text(policy.accounts[*first].where),
                                         policy.accounts[*first].text, name));
        }
    }
}

void check_charge(LoadContext& context, Policy& policy, const EntryPlaces& places, std::uint32_t number) {
    AccountEntry& account = policy.accounts[number];
    std::vector<std::uint32_t> payers;
    find_account_entries(policy, *account.charge, policy.names.groups_of(*account.charge), payers);
    const JsonValue& place = places.accounts[number];
    const std::string payer = policy.names.user_text(*account.charge);
    if (payers.size() != 1) {
        context.error_at(place, fmt::format("charged to {}, who has no account", payer));
        return;
    }
    const AccountEntry& paying = policy.accounts[payers[0]];
    if (paying.charge) {
        context.error_at(place, fmt::format("charged to {}, whose own account at {} is charged to {}", payer,
                                            policy.text(paying.where), policy.names.user_text(*paying.charge)));
        return;
    }
    account.memory = paying.memory;
    account.leases = paying.leases;
    account.devices = paying.devices;
}

}  // namespace

void check_rule_ids(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    std::map<std::string, std::uint32_t> ids;
    for (std::uint32_t i = 0; i < policy.rules.size(); ++i) {
        const Rule& rule = policy.rules[i];
        const auto earlier = rule.id.empty() ? std::nullopt : seen(ids, rule.id, i);
        if (earlier) {
            context.error_at(places.rules[i], fmt::format("the id {} is that of the rule at {} already",
                                                          quoted(rule.id), policy.text(policy.rules[*earlier].where)));
        }
    }
}

void check_accounts(LoadContext& context, Policy& policy, const EntryPlaces& places) {
    std::map<std::uint32_t, std::uint32_t> users;
    std::map<std::uint32_t, std::uint32_t> groups;
    for (std::uint32_t i = 0; i < policy.accounts.size(); ++i) {
        const AccountEntry& account = policy.accounts[i];
        const auto earlier = account.user    ? seen(users, *account.user, i)
                             : account.group ? seen(groups, *account.group, i)
                                             : std::nullopt;
        if (earlier) {
            report_twice(context, policy, places, *earlier, i);
        }
    }
    check_ranges(context, policy, places);
    build_account_index(policy);
    check_memberships(context, policy, places);
    for (std::uint32_t i = 0; i < policy.accounts.size(); ++i) {
        if (policy.accounts[i].charge) {
            check_charge(context, policy, places, i);
        }
    }
}

}  // namespace iommud::policy
