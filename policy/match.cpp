#include "policy/match.hpp"

#include <algorithm>

#include "policy/account.hpp"

namespace iommud::policy {
namespace {

bool contains(const std::vector<std::uint32_t>& numbers, std::uint32_t number) {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

void sort_unique(std::vector<std::uint32_t>& numbers) {
    if (!std::is_sorted(numbers.begin(), numbers.end())) {  // one list of an index is, and the costliest step to skip
        std::sort(numbers.begin(), numbers.end());
    }
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
}

// Which container somebody is in is known by the socket.
bool in_endpoint(const SubjectPattern& pattern, const Subject& subject) {
    return !pattern.endpoint || (subject.container && pattern.endpoint->matches(subject.container->id));
}

bool annotated(const SubjectPattern& pattern, const Subject& subject) {
    if (!pattern.annotation) {
        return true;
    }
    if (!subject.container) {
        return false;
    }
    const auto found = subject.container->annotations.find(pattern.annotation->key);
    return found != subject.container->annotations.end() && found->second == pattern.annotation->value;
}

// Whether a pattern's user, uids and group match.
bool allow_user(const SubjectPattern& pattern, const Asker& asker) {
    return !pattern.nobody && (!pattern.user || *pattern.user == asker.allowed_as_uid) &&
           (!pattern.uids || pattern.uids->contains(asker.allowed_as_uid)) &&
           (!pattern.group || contains(asker.allowed_as_groups, *pattern.group));
}

bool allow_subject(const SubjectPattern& pattern, const Asker& asker) {
    const Subject& subject = asker.subject;
    if (subject.container && !pattern.endpoint) {
        return false;  // a rule that names no endpoint is for the host
    }
    return allow_user(pattern, asker) && (!pattern.unit || (subject.has_pidfd && subject.unit == *pattern.unit)) &&
           in_endpoint(pattern, subject) && annotated(pattern, subject);
}

bool deny_subject(const SubjectPattern& pattern, const Asker& asker) {
    const auto in_range = [&pattern](std::uint32_t uid) { return pattern.uids->contains(uid); };
    const std::vector<std::uint32_t>& uids = asker.denied_as_uids;
    const bool unit_known = asker.subject.has_pidfd && asker.subject.unit.has_value();
    return (!pattern.user || contains(uids, *pattern.user)) &&
           (!pattern.uids || std::any_of(uids.begin(), uids.end(), in_range)) &&
           (!pattern.group || contains(asker.denied_as_groups, *pattern.group)) &&
           (!pattern.unit || !unit_known || *asker.subject.unit == *pattern.unit) &&
           (!asker.subject.container_known || in_endpoint(pattern, asker.subject));
}

// An attribute that is not known matches for a deny.
bool same_text(const std::optional<std::string>& wanted, const std::optional<std::string>& is, Effect effect) {
    return !wanted || (is ? *is == *wanted : effect == Effect::deny);
}

bool matches(const DevicePattern& pattern, const DeviceText& device, Effect effect) {
    const DeviceFacts& facts = *device.facts;
    return may_match(mask_of(pattern), device.words, effect) && same_text(pattern.path, facts.path, effect) &&
           same_text(pattern.slot, facts.slot, effect) && same_text(pattern.driver, facts.driver, effect) &&
           same_text(pattern.serial, facts.serial, effect) &&
           (!pattern.address || pattern.address->fixed().whole ||
            pattern.address->matches(facts.address, device.address));
}

template <class Map, class Key>
void append_found(const Map& map, const Key& key, std::vector<std::uint32_t>& rules) {
    if (const auto found = map.find(key); found != map.end()) {
        rules.insert(rules.end(), found->second.begin(), found->second.end());
    }
}

void append_all(const std::vector<std::uint32_t>& more, std::vector<std::uint32_t>& rules) {
    rules.insert(rules.end(), more.begin(), more.end());
}

void look_up(const SubjectIndex& index, const std::vector<std::uint32_t>& uids,
             const std::vector<std::uint32_t>& groups, std::vector<std::uint32_t>& rules) {
    for (const std::uint32_t uid : uids) {
        append_found(index.by_user, uid, rules);
        index.by_range.find(uid, rules);
    }
    if (index.by_group.empty()) {
        return;
    }
    for (const std::uint32_t group : groups) {
        append_found(index.by_group, group, rules);
    }
}

}  // namespace

Asker::Asker(const Policy& policy, const Subject& the_subject)
    : subject(the_subject),
      allowed_as_uid(bearer_of(the_subject)),
      allowed_as_groups(groups_of(policy, the_subject)),
      denied_as_uids{the_subject.uid},
      denied_as_groups(the_subject.groups) {
    if (const auto account = account_of(policy, subject)) {
        denied_as_uids.push_back(account->uid);
    }
    denied_as_uids.push_back(bearer_of(subject));
    policy.names.owners_of(subject.uid, denied_as_uids);
    policy.names.owners_of(bearer_of(subject), denied_as_uids);
    sort_unique(denied_as_uids);
    for (const std::uint32_t uid : denied_as_uids) {
        append_all(policy.names.groups_of(uid), denied_as_groups);
    }
}

bool subject_matches(const Rule& rule, const Asker& asker) {
    if (rule.effect == Effect::allow) {
        return std::any_of(rule.subjects.begin(), rule.subjects.end(),
                           [&asker](const SubjectPattern& pattern) { return allow_subject(pattern, asker); });
    }
    return rule.subjects.empty() ||
           std::any_of(rule.subjects.begin(), rule.subjects.end(),
                       [&asker](const SubjectPattern& pattern) { return deny_subject(pattern, asker); });
}

bool only_for_the_host(const Rule& allow, const Asker& asker) {
    return asker.subject.container &&
           std::any_of(allow.subjects.begin(), allow.subjects.end(), [&asker](const SubjectPattern& pattern) {
               return !pattern.endpoint && !pattern.unit && (pattern.user || pattern.uids || pattern.group) &&
                      allow_user(pattern, asker);
           });
}

bool device_matches(const Rule& rule, const DeviceText& device) {
    if (rule.effect == Effect::deny && rule.devices.empty()) {
        return true;
    }
    return std::any_of(rule.devices.begin(), rule.devices.end(), [&device, &rule](const DevicePattern& pattern) {
        return matches(pattern, device, rule.effect);
    });
}

namespace {

// Whether the rule of this number may match one of `devices`. With many rules for one subject the time goes here:
// pointers, because the index's numbers are its own and need no check each.
template <Effect effect>
bool about(const DeviceIndex& index, std::uint32_t rule, std::span<const DeviceText> devices) {
    const std::uint32_t* const ends = index.ends.data();
    const DeviceMask* const end = index.masks.data() + ends[rule];
    const DeviceMask* mask = index.masks.data() + (rule == 0 ? 0 : ends[rule - 1]);
    if (mask == end) {
        return true;  // a deny of every device
    }
    for (; mask != end; ++mask) {
        for (const DeviceText& device : devices) {
            if (may_match(*mask, device.words, effect)) {
                return true;
            }
        }
    }
    return false;
}

void look_up_units(const SubjectIndex& index, Effect effect, const Subject& subject,
                   std::vector<std::uint32_t>& rules) {
    if (subject.has_pidfd && subject.unit) {
        append_found(index.by_unit, *subject.unit, rules);
    } else if (effect == Effect::deny) {
        append_all(index.any_unit, rules);
    }
    if (subject.container) {
        append_found(index.by_endpoint, subject.container->id, rules);
        append_all(index.by_endpoints, rules);
    }
    if (effect == Effect::deny && !subject.container_known) {
        append_all(index.by_endpoints, rules);
        for (const auto& [id, named] : index.by_endpoint) {
            append_all(named, rules);
        }
    }
}

}  // namespace

std::vector<std::uint32_t> rules_about(const Policy& policy, const Asker& asker, std::span<const DeviceText> asked,
                                       std::span<const DeviceText> members) {
    const Subject& subject = asker.subject;
    std::vector<std::uint32_t> rules = policy.denies.everybody;
    look_up(policy.denies, asker.denied_as_uids, asker.denied_as_groups, rules);
    look_up_units(policy.denies, Effect::deny, subject, rules);
    std::erase_if(rules, [&index = policy.rule_devices, asked, members](std::uint32_t rule) {
        return !about<Effect::deny>(index, rule, asked) && !about<Effect::deny>(index, rule, members);
    });
    for (const auto& devices : {asked, members}) {
        for (const DeviceText& device : devices) {
            append_found(policy.denies.everybody_by_address, device.facts->address, rules);
        }
    }
    const auto denies = static_cast<std::ptrdiff_t>(rules.size());
    look_up(policy.allows, {asker.allowed_as_uid}, asker.allowed_as_groups, rules);
    look_up_units(policy.allows, Effect::allow, subject, rules);
    const auto others =
        std::remove_if(rules.begin() + denies, rules.end(), [&index = policy.rule_devices, asked](std::uint32_t rule) {
            return !about<Effect::allow>(index, rule, asked);
        });
    rules.erase(others, rules.end());
    sort_unique(rules);
    return rules;
}

}  // namespace iommud::policy
