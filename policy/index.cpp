#include <fmt/format.h>

#include <algorithm>

#include "policy/account.hpp"
#include "policy/device_mask.hpp"
#include "policy/policy.hpp"

namespace iommud::policy {
namespace {

// Under the part that the fewest have: a rule is then looked at for those only.
void add_subject(SubjectIndex& index, const SubjectPattern& pattern, std::uint32_t rule) {
    if (pattern.nobody) {
        return;
    }
    if (pattern.user) {
        index.by_user[*pattern.user].push_back(rule);
    } else if (pattern.unit) {
        index.by_unit[*pattern.unit].push_back(rule);
        index.any_unit.push_back(rule);
    } else if (pattern.endpoint && !pattern.endpoint->prefix) {
        index.by_endpoint[pattern.endpoint->begins].push_back(rule);
    } else if (pattern.uids) {
        index.by_range.add(*pattern.uids, rule);
    } else if (pattern.group) {
        index.by_group[*pattern.group].push_back(rule);
    } else if (pattern.endpoint) {
        index.by_endpoints.push_back(rule);
    }
}

void add_everybody(SubjectIndex& index, const Rule& rule, std::uint32_t number) {
    const auto plain = [](const DevicePattern& pattern) { return pattern.address && pattern.address->exact(); };
    if (rule.devices.empty() || !std::all_of(rule.devices.begin(), rule.devices.end(), plain)) {
        index.everybody.push_back(number);
        return;
    }
    for (const DevicePattern& pattern : rule.devices) {
        index.everybody_by_address[*pattern.address->exact()].push_back(number);
    }
}

}  // namespace

void build_index(Policy& policy) {
    policy.allows = {};
    policy.denies = {};
    policy.rule_devices = {};
    policy.by_serial = false;
    for (std::uint32_t i = 0; i < policy.rules.size(); ++i) {
        const Rule& rule = policy.rules[i];
        SubjectIndex& index = rule.effect == Effect::allow ? policy.allows : policy.denies;
        if (rule.subjects.empty() && rule.effect == Effect::deny) {
            add_everybody(index, rule, i);
        }
        for (const SubjectPattern& pattern : rule.subjects) {
            add_subject(index, pattern, i);
        }
        for (const DevicePattern& pattern : rule.devices) {
            policy.rule_devices.masks.push_back(mask_of(pattern));
            policy.by_serial = policy.by_serial || pattern.serial;
        }
        policy.rule_devices.ends.push_back(static_cast<std::uint32_t>(policy.rule_devices.masks.size()));
    }
    policy.allows.by_range.build();
    policy.denies.by_range.build();
    build_account_index(policy);
}

std::string Policy::text(const Where& where) const {
    return where.file < files.size() ? fmt::format("{}:{}", files[where.file], where.line) : std::string();
}

}  // namespace iommud::policy
