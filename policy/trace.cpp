#include "policy/trace.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace iommud::policy {
namespace {

template <class Patterns>
std::string pattern_texts(const Patterns& patterns) {
    constexpr std::size_t most = 8;
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < patterns.size() && i < most; ++i) {
        texts.push_back(patterns[i].text);
    }
    return alternatives(texts) + (patterns.size() > most ? ", …" : "");
}

bool names_containers(const Rule& rule) {
    return std::any_of(rule.subjects.begin(), rule.subjects.end(),
                       [](const SubjectPattern& pattern) { return pattern.endpoint.has_value(); });
}

void explain_allow(const Question& question, const Rule& rule, const RuleVerdict& outcome, TraceEntry& entry) {
    const char* mode = name_of(question.request.mode);
    switch (outcome.stops_at) {
        case Reach::subject:
            entry.why = fmt::format("it is for {}, not {}", pattern_texts(rule.subjects), question.who());
            entry.change = "name the subject in the rule's subjects";
            if (question.asker.subject.container && !names_containers(rule)) {
                entry.why += ": a rule is for containers only where it names an \"endpoint\"";
                entry.change = "add an \"endpoint\" to the rule's subjects";
            }
            return;
        case Reach::devices:
            entry.why = fmt::format("its devices are {}, not {}", pattern_texts(rule.devices), outcome.device->address);
            entry.change = fmt::format("name {} in the rule's devices", outcome.device->address);
            return;
        case Reach::mode:
            entry.why = fmt::format("it does not give mode {}", mode);
            entry.change = fmt::format("add \"{}\" to the rule's modes, or ask for another mode", mode);
            return;
        case Reach::memory:
            entry.why = fmt::format("it gives at most {} to a lease", format_bytes(*rule.memory));
            entry.change = fmt::format("raise the rule's memory, or ask for {} or less", format_bytes(*rule.memory));
            return;
        case Reach::matches:
            entry.why = "subject, devices, mode and memory match";
            return;
    }
}

void explain_deny(const Question& question, const Rule& rule, const RuleVerdict& outcome, TraceEntry& entry) {
    switch (outcome.stops_at) {
        case Reach::subject:
            entry.why = fmt::format("it is for {}, not {}", pattern_texts(rule.subjects), question.who());
            return;
        case Reach::devices:
            entry.why = fmt::format("its devices are {}; none of those is asked for, nor in an IOMMU group that is",
                                    pattern_texts(rule.devices));
            return;
        case Reach::mode:
            entry.why = fmt::format("it does not deny mode {}", name_of(question.request.mode));
            return;
        case Reach::memory:  // a deny has none
        case Reach::matches:
            entry.why = fmt::format("subject and {} match", outcome.device->address);
            entry.change = fmt::format("except {} or the subject from the rule, or ask for other devices",
                                       outcome.device->address);
            return;
    }
}

// The entry that account_of() found, for its place.
std::optional<AccountEntry> account_entry(const Question& question) {
    std::vector<std::uint32_t> entries;
    const Subject& subject = question.asker.subject;
    find_account_entries(question.policy, subject, entries);
    return entries.size() == 1 ? std::optional(question.policy.accounts[entries[0]]) : std::nullopt;
}

}  // namespace

ipc::Texts TraceEntry::texts() && {
    ipc::Texts texts;
    texts.reserve(6);
    texts.emplace_back("rule", std::move(rule));
    texts.emplace_back("effect", std::move(effect));
    texts.emplace_back("matched", matched ? "yes" : "no");
    texts.emplace_back("why", std::move(why));
    texts.emplace_back("where", std::move(where));
    texts.emplace_back("change", std::move(change));
    return texts;
}

TraceEntry trace_of(const Question& question, const Rule& rule, const RuleVerdict& outcome) {
    TraceEntry entry;
    entry.rule = rule.id;
    entry.effect = rule.effect == Effect::allow ? "allow" : "deny";
    entry.matched = outcome.stops_at == Reach::matches;
    entry.where = question.policy.text(rule.where);
    if (rule.effect == Effect::allow) {
        explain_allow(question, rule, outcome, entry);
    } else {
        explain_deny(question, rule, outcome, entry);
    }
    return entry;
}

TraceEntry account_trace(const Question& question) {
    TraceEntry entry;
    entry.effect = "account";
    const auto account = account_of(question.policy, question.asker.subject);
    const auto written = account_entry(question);
    if (!account || !written) {
        entry.why = fmt::format("{} has no account, or several of its groups have one{}", question.who(),
                                owner_text(question.policy, question.asker.subject));
        entry.change = fmt::format("give {} an entry in accounts", question.who());
        return entry;
    }
    entry.matched = true;
    entry.where = question.policy.text(written->where);
    entry.why = fmt::format("{} pays: {} of memory, {} leases, {} devices at most{}",
                            question.policy.names.user_text(account->uid), format_bytes(account->memory),
                            account->leases, account->devices, owner_text(question.policy, question.asker.subject));
    return entry;
}

}  // namespace iommud::policy
