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

}  // namespace iommud::policy
