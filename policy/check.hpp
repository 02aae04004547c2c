// What can only be seen when all files are read: entries that contradict each other.
#pragma once

#include <vector>

#include "policy/reader.hpp"

namespace iommud::policy {

// Where each entry of Policy::accounts and Policy::rules was written.
struct EntryPlaces {
    std::vector<JsonValue> accounts;
    std::vector<JsonValue> rules;
};

void check_rule_ids(LoadContext& context, const Policy& policy, const EntryPlaces& places);
// Two equally specific accounts for somebody; a charge to somebody who cannot pay. Sets the limits of those charged.
void check_accounts(LoadContext& context, Policy& policy, const EntryPlaces& places);

// To Policy::warnings, by way of the context: rules that never match, allows wholly under a deny, accounts that no rule
// is about, overlapping ranges, a charge for uids that are somebody else's in /etc/subuid.
void add_warnings(LoadContext& context, const Policy& policy, const EntryPlaces& places);

}  // namespace iommud::policy
