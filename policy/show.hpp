// The policy in force as a list for people: merged from all files, percentages resolved, each entry with its place.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "policy/policy.hpp"

namespace iommud::policy {

struct ShownEntry {
    std::string kind;   // "host", "account", "allow", "deny"
    std::string name;   // whom an account is for; a rule's id; empty for the host
    std::string says;   // "8 GiB, 16 leases, 4 devices"
    std::string where;  // file:line; empty for a default
    bool operator==(const ShownEntry&) const = default;
    // With these names as keys.
    [[nodiscard]] ipc::Texts texts() const;
};

// The host first, then accounts, denies and allows, each sorted by name. No vf_token is shown, only that there is one.
[[nodiscard]] std::vector<ShownEntry> show(const Policy& policy);

}  // namespace iommud::policy
