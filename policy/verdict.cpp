#include "policy/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace iommud::policy {
namespace {

Decision refuse(ErrorCode code, std::string message) {
    Decision decision;
    decision.code = code;
    decision.message = std::move(message);
    return decision;
}

// Without a decimal: beside a limit of 12 MiB, one page more must not read "12.0 MiB".
std::string exact_bytes(std::uint64_t bytes) {
    return bytes % MiB == 0 ? format_bytes(bytes) : fmt::format("{} KiB", bytes / KiB);
}

std::string mode_names(ModeSet modes) {
    std::vector<std::string> names;
    for (const Mode mode : {Mode::managed, Mode::direct, Mode::legacy}) {
        if ((modes & mode_bit(mode)) != 0) {
            names.emplace_back(name_of(mode));
        }
    }
    return alternatives(names);
}

RuleVerdict judge_deny(const Question& question, const Rule& rule) {
    for (const auto* devices : {&question.asked, &question.members}) {
        for (const DeviceText& device : *devices) {
            if (device_matches(rule, device)) {
                return {(rule.modes & mode_bit(question.request.mode)) != 0 ? Reach::matches : Reach::mode, &device};
            }
        }
    }
    return {Reach::devices, nullptr};
}

// Of two rules that both decide, always the same one, however they are ordered.
bool first_by_id(const Rule* left, const Rule* right) {
    return left->id < right->id;
}

}  // namespace

Question::Question(const Policy& the_policy, const Subject& subject, const Request& the_request)
    : policy(the_policy),
      request(the_request),
      asker(the_policy, subject),
      asked(request.asked.begin(), request.asked.end()),
      memory(request.memory ? std::optional(page_align_up(*request.memory)) : std::nullopt) {
    for (const DeviceFacts& member : request.group_members) {
        if (std::find(request.asked.begin(), request.asked.end(), member) == request.asked.end()) {
            members.emplace_back(member);
        }
    }
}

std::string Question::who() const {
    return subject_text(policy, asker.subject);
}

std::string Question::devices() const {
    constexpr std::size_t most = 4;
    std::string text;
    for (std::size_t i = 0; i < asked.size() && i < most; ++i) {
        text += i == 0 ? "" : i + 1 == asked.size() ? " and " : ", ";
        text += asked[i].address;
    }
    return asked.size() > most ? fmt::format("{} and {} more", text, asked.size() - most) : text;
}

RuleVerdict judge(const Question& question, const Rule& rule) {
    if (!subject_matches(rule, question.asker)) {
        return {Reach::subject, nullptr};
    }
    if (rule.effect == Effect::deny) {
        return judge_deny(question, rule);
    }
    for (const DeviceText& device : question.asked) {
        if (!device_matches(rule, device)) {
            return {Reach::devices, &device};
        }
    }
    if ((rule.modes & mode_bit(question.request.mode)) == 0) {
        return {Reach::mode, nullptr};
    }
    return {rule.memory && question.memory > rule.memory ? Reach::memory : Reach::matches, nullptr};
}

void Verdict::add(const Rule& rule, const RuleVerdict& verdict) {
    if (verdict.stops_at == Reach::subject) {
        if (rule.effect == Effect::allow && only_for_the_host(rule, question_.asker) &&
            std::all_of(question_.asked.begin(), question_.asked.end(),
                        [&rule](const DeviceText& device) { return device_matches(rule, device); }) &&
            (for_the_host_ == nullptr || first_by_id(&rule, for_the_host_))) {
            for_the_host_ = &rule;
        }
        return;
    }
    if (rule.effect == Effect::deny) {
        if (verdict.stops_at == Reach::matches && (deny_ == nullptr || first_by_id(&rule, deny_))) {
            deny_ = &rule;
            denied_ = verdict.device;
        }
        return;
    }
    if (verdict.stops_at == Reach::devices) {
        // Of one device judge() has just said that it is not.
        for (std::size_t i = 0; coverable_.size() > 1 && i < coverable_.size(); ++i) {
            coverable_[i] = coverable_[i] || device_matches(rule, question_.asked[i]);
        }
        return;
    }
    coverable_.assign(coverable_.size(), true);
    modes_ = static_cast<ModeSet>(modes_ | rule.modes);
    if (verdict.stops_at == Reach::matches) {
        covering_.push_back(&rule);
    } else if (verdict.stops_at == Reach::memory &&
               (most_memory_ == nullptr || rule.memory > most_memory_->memory ||
                (rule.memory == most_memory_->memory && first_by_id(&rule, most_memory_)))) {
        most_memory_ = &rule;
    }
}

Decision Verdict::decide() const {
    const std::uint32_t uid = question_.asker.subject.uid;
    if (question_.asked.empty()) {
        return refuse(ErrorCode::invalid_argument, "no device is asked for");
    }
    if (uid >= first_daemon_uid) {
        return refuse(ErrorCode::access_denied, fmt::format("uid {} is no user's: it gets nothing", uid));
    }
    return deny_ == nullptr && !covering_.empty() ? grant() : refusal();
}

Decision Verdict::refusal() const {
    if (deny_ != nullptr) {
        const auto same = [this](const DeviceText& device) { return device.facts->address == denied_->facts->address; };
        const bool asked = std::any_of(question_.asked.begin(), question_.asked.end(), same);
        Decision decision =
            refuse(ErrorCode::access_denied,
                   fmt::format("rule {} denies {} {}{}", deny_->id, question_.who(), denied_->address,
                               asked ? "" : ", which shares an IOMMU group with " + question_.devices()));
        decision.rule = deny_->id;
        return decision;
    }
    const bool all = std::find(coverable_.begin(), coverable_.end(), false) == coverable_.end();
    if (!all || modes_ == 0) {
        return devices_refusal();
    }
    if (most_memory_ != nullptr) {
        return refuse(ErrorCode::memory_limit, fmt::format("{} asked for {}; rule {} gives at most {} to a lease",
                                                           question_.who(), exact_bytes(*question_.memory),
                                                           most_memory_->id, format_bytes(*most_memory_->memory)));
    }
    return refuse(ErrorCode::access_denied,
                  fmt::format("{} may have {} in mode {}, not {}", question_.who(), question_.devices(),
                              mode_names(modes_), name_of(question_.request.mode)));
}

Decision Verdict::devices_refusal() const {
    std::vector<std::string> missing;
    for (std::size_t i = 0; i < coverable_.size() && missing.size() < 4; ++i) {
        if (!coverable_[i]) {
            missing.push_back(question_.asked[i].address);
        }
    }
    if (missing.empty()) {
        return refuse(ErrorCode::access_denied,
                      fmt::format("{} has no one rule for {} together: ask for them one by one", question_.who(),
                                  question_.devices()));
    }
    const std::string host = for_the_host_ == nullptr
                                 ? ""
                                 : fmt::format(
                                       "; rule {} is for its user's processes on the host, and for no container, "
                                       "because it names no \"endpoint\"",
                                       for_the_host_->id);
    return refuse(ErrorCode::access_denied,
                  fmt::format("{} has no rule for {}{}", question_.who(), alternatives(missing), host));
}

// The strictest of what the covering rules give.
Decision Verdict::strictest() const {
    Decision decision;
    decision.memory = default_lease_memory;
    decision.maps = std::numeric_limits<std::uint32_t>::max();
    decision.allow_no_reset = true;
    decision.allow_uncleared_memory = true;
    std::vector<const Rule*> by_id = covering_;
    std::sort(by_id.begin(), by_id.end(), first_by_id);
    decision.rule = by_id.front()->id;
    for (const Rule* rule : by_id) {
        decision.memory = std::min(decision.memory, rule->memory.value_or(decision.memory));
        decision.maps = std::min(decision.maps, rule->maps.value_or(default_maps));
        decision.allow_no_reset = decision.allow_no_reset && rule->allow_no_reset;
        decision.allow_uncleared_memory = decision.allow_uncleared_memory && rule->allow_uncleared_memory;
        decision.vf_token = decision.vf_token ? decision.vf_token : rule->vf_token;
    }
    return decision;
}

Decision Verdict::grant() const {
    const auto account = account_of(question_.policy, question_.asker.subject);
    if (!account) {
        return refuse(ErrorCode::access_denied,
                      fmt::format("{} has no account to charge the lease to{}", question_.who(),
                                  owner_text(question_.policy, question_.asker.subject)));
    }
    Decision decision = strictest();
    decision.account = account;
    decision.memory = question_.memory.value_or(std::min(decision.memory, account->memory & ~(page_size - 1)));
    if (decision.memory > account->memory) {
        return refuse(ErrorCode::memory_limit,
                      fmt::format("{} asked for {}; the account's limit is {}", question_.who(),
                                  exact_bytes(decision.memory), format_bytes(account->memory)));
    }
    if (question_.asked.size() > account->devices) {
        return refuse(ErrorCode::device_limit, fmt::format("{} asked for {} devices; the account's limit is {}",
                                                           question_.who(), question_.asked.size(), account->devices));
    }
    if (question_.request.mode != Mode::managed && !question_.asker.subject.has_pidfd) {
        return refuse(ErrorCode::unsupported_mode,
                      fmt::format("mode {} needs a kernel that gives a pidfd of its peer (6.5 or newer)",
                                  name_of(question_.request.mode)));
    }
    decision.allowed = true;
    return decision;
}

std::string grant_text(const Question& question, const Decision& grant) {
    return fmt::format("rule {} gives {} {}: mode {}, {}, at most {} maps", grant.rule, question.who(),
                       question.devices(), name_of(question.request.mode), format_bytes(grant.memory), grant.maps);
}

}  // namespace iommud::policy
