// May this subject have these devices, in this mode, with this much memory? A pure function of (policy, subject,
// request) that also yields its reasons (DESIGN §7).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/error.hpp"
#include "policy/account.hpp"
#include "policy/policy.hpp"
#include "policy/subject.hpp"

namespace iommud::policy {

// What one rule had to do with a decision.
struct TraceEntry {
    std::string rule;    // its id; empty for the account's entry
    std::string effect;  // "allow", "deny", "account"
    bool matched = false;
    std::string why;
    std::string where;   // file:line
    std::string change;  // what would have to change for the rule to come out the other way; may be empty
    // Under these names; "matched" is "yes" or "no".
    [[nodiscard]] ipc::Texts texts() &&;
};

// The zero value denies.
struct Decision {
    bool allowed = false;
    ErrorCode code = ErrorCode::access_denied;  // of a refusal: see evaluate()
    std::string message;  // of a refusal, by explain() of a grant too; tells nothing of rules that are about others
    std::string rule;     // the rule that decided; of several the first by id
    std::uint64_t memory = 0;  // bytes to reserve, whole pages
    std::uint32_t maps = 0;
    bool allow_no_reset = false;
    bool allow_uncleared_memory = false;
    std::optional<std::string> vf_token;
    std::optional<Account> account;  // who pays
    std::vector<TraceEntry> trace;   // of explain() only
};

// In this order: no device is asked for (invalid_argument); a deny matches, or no one allow rule covers subject and
// devices (access_denied); none of those that do covers the mode (access_denied), or then the memory (memory_limit);
// no account (access_denied), or one with less memory (memory_limit) or fewer devices (device_limit) than asked for;
// direct or legacy without a pidfd (unsupported_mode). What is in use is the ledger's to count.
//
// Where several allow rules cover the request the strictest of each holds: the smallest memory as default, the fewest
// maps, no lease of a device without reset, nor with memory that is not cleared, unless all allow it; of several
// vf_tokens the one of the first rule by id.
//
// Costs what the rules that mention the subject, or everybody, cost; allocates little; never fails.
[[nodiscard]] Decision evaluate(const Policy& policy, const Subject& subject, const Request& request);

// Whose rules a trace shows.
enum class TraceScope {
    own,  // only rules that mention the subject, of many the nearest 32: for the subject's own eyes
    all,  // for an administrator
};

// The same decision, with its trace: every rule in the order of the files, then the account.
[[nodiscard]] Decision explain(const Policy& policy, const Subject& subject, const Request& request, TraceScope scope);

// "alice (uid 1000)", or "uid 1000" when nobody has that name; "container web-1 of root (uid 0)", whoever asks in it.
[[nodiscard]] std::string subject_text(const Policy& policy, const Subject& subject);

}  // namespace iommud::policy
