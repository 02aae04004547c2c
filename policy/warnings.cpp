// What the language permits and a person hardly meant. A warning changes nothing.
#include <fmt/format.h>

#include <algorithm>

#include "policy/check.hpp"

namespace iommud::policy {
namespace {

// Whether whoever matches `narrow` matches `wide`; false when in doubt.
bool subject_under(const Names& names, const SubjectPattern& narrow, const SubjectPattern& wide) {
    const auto in_group = [&names, &narrow](std::uint32_t group) {
        if (narrow.group == group) {
            return true;
        }
        const auto& groups = names.groups_of(narrow.user.value_or(highest_policy_uid));
        return narrow.user && std::find(groups.begin(), groups.end(), group) != groups.end();
    };
    const auto in_range = [&narrow](const UidRange& range) {
        return (narrow.user && range.contains(*narrow.user)) || (narrow.uids && range.contains(*narrow.uids));
    };
    return (!wide.user || narrow.user == wide.user) && (!wide.uids || in_range(*wide.uids)) &&
           (!wide.group || in_group(*wide.group)) && (!wide.unit || narrow.unit == wide.unit) &&
           (!wide.endpoint || (narrow.endpoint && wide.endpoint->covers(*narrow.endpoint)));
}

bool device_under(const DevicePattern& narrow, const DevicePattern& wide) {
    const bool address = !wide.address || (narrow.address && wide.address->covers(*narrow.address));
    const bool class_code =
        !wide.class_code || (narrow.class_code && (narrow.class_mask & wide.class_mask) == wide.class_mask &&
                             (*narrow.class_code & wide.class_mask) == *wide.class_code);
    return address && class_code && (!wide.vendor || narrow.vendor == wide.vendor) &&
           (!wide.device || narrow.device == wide.device) &&
           (!wide.subsystem_vendor || narrow.subsystem_vendor == wide.subsystem_vendor) &&
           (!wide.subsystem_device || narrow.subsystem_device == wide.subsystem_device) &&
           (!wide.iommu_group || narrow.iommu_group == wide.iommu_group) && (!wide.path || narrow.path == wide.path) &&
           (!wide.slot || narrow.slot == wide.slot) && (!wide.driver || narrow.driver == wide.driver) &&
           (!wide.serial || narrow.serial == wide.serial);
}

// A deny that leaves nothing of an allow. A deny for several subjects covers what each of them covers.
bool rule_under(const Names& names, const Rule& allow, const Rule& deny) {
    const auto subject_covered = [&names, &deny](const SubjectPattern& narrow) {
        return std::any_of(deny.subjects.begin(), deny.subjects.end(), [&names, &narrow](const SubjectPattern& wide) {
            return subject_under(names, narrow, wide);
        });
    };
    const auto device_covered = [&deny](const DevicePattern& narrow) {
        return std::any_of(deny.devices.begin(), deny.devices.end(),
                           [&narrow](const DevicePattern& wide) { return device_under(narrow, wide); });
    };
    return (allow.modes & ~deny.modes) == 0 &&
           (deny.devices.empty() || std::all_of(allow.devices.begin(), allow.devices.end(), device_covered)) &&
           (deny.subjects.empty() || std::all_of(allow.subjects.begin(), allow.subjects.end(), subject_covered));
}

void warn_of_allows_under_denies(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    constexpr std::size_t most_comparisons = 1000000;  // some 20 ms
    std::vector<std::uint32_t> denies;
    for (std::uint32_t i = 0; i < policy.rules.size(); ++i) {
        if (policy.rules[i].effect == Effect::deny) {
            denies.push_back(i);
        }
    }
    std::size_t comparisons = 0;
    for (std::uint32_t i = 0; i < policy.rules.size(); ++i) {
        const Rule& allow = policy.rules[i];
        if (allow.effect == Effect::deny) {
            continue;
        }
        comparisons += denies.size();
        if (comparisons > most_comparisons) {
            context.warning_at(places.rules[i],
                               "so many rules that from here on none was looked at for being wholly under a deny");
            return;
        }
        for (const std::uint32_t number : denies) {
            const Rule& deny = policy.rules[number];
            if (rule_under(policy.names, allow, deny)) {
                context.warning_at(places.rules[i],
                                   fmt::format("rule {} allows nothing: it is wholly under the deny {} at {}", allow.id,
                                               deny.id, policy.text(deny.where)));
                break;
            }
        }
    }
}

// A card that is added gives others new addresses, and new numbers to their groups, at the next start of the host: a
// deny then denies another device, and an allow gives one.
void warn_of_numbers(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    for (std::uint32_t i = 0; i < policy.rules.size(); ++i) {
        const auto& devices = policy.rules[i].devices;
        if (const auto found = std::find_if(devices.begin(), devices.end(),
                                            [](const DevicePattern& pattern) { return pattern.by_number(); });
            found != devices.end()) {
            context.warning_at(
                places.rules[i],
                fmt::format(R"(rule {} knows a device by {}: addresses and group numbers move when a card )"
                            R"(is added; "path", "slot" and "serial" stay)",
                            policy.rules[i].id, found->text));
        }
    }
}

// Who has them is in a user namespace, which is what a container is; and there the rule holds for nobody.
void warn_of_uids_of_containers(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    for (std::uint32_t i = 0; i < policy.rules.size(); ++i) {
        const Rule& rule = policy.rules[i];
        const bool containers_too =
            std::any_of(rule.subjects.begin(), rule.subjects.end(),
                        [](const SubjectPattern& pattern) { return pattern.endpoint.has_value(); });
        for (const SubjectPattern& pattern : rule.subjects) {
            if (rule.effect == Effect::deny || !pattern.uids || containers_too) {
                continue;
            }
            const auto subordinates = policy.names.subordinate_in(*pattern.uids);
            if (!subordinates.empty()) {
                context.warning_at(
                    places.rules[i],
                    fmt::format("rule {} names subordinate uids ({} of {}), which containers run with, and no "
                                "\"endpoint\": a container gets nothing by it",
                                rule.id, subordinates.front().range.first,
                                policy.names.user_text(subordinates.front().owner)));
                break;
            }
        }
    }
}

bool nobodys(const SubjectPattern& pattern) {
    const bool contradiction = pattern.user && pattern.uids && !pattern.uids->contains(*pattern.user);
    const bool daemons = pattern.uids && pattern.uids->first >= first_daemon_uid;
    return pattern.nobody || contradiction || daemons;
}

void warn_of_rules_for_nobody(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    for (std::uint32_t i = 0; i < policy.rules.size(); ++i) {
        const auto& subjects = policy.rules[i].subjects;
        if (!subjects.empty() && std::all_of(subjects.begin(), subjects.end(), nobodys)) {
            context.warning_at(places.rules[i],
                               fmt::format("rule {} can never match: its subjects are nobody", policy.rules[i].id));
        }
    }
}

void warn_of_overlapping_subjects(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    for (std::uint32_t i = 0; i < policy.rules.size(); ++i) {
        std::vector<UidRange> ranges;
        for (const SubjectPattern& pattern : policy.rules[i].subjects) {
            if (pattern.uids && !pattern.user && !pattern.group && !pattern.unit && !pattern.endpoint &&
                !pattern.annotation) {
                ranges.push_back(*pattern.uids);
            }
        }
        std::sort(ranges.begin(), ranges.end());
        const auto overlap =
            std::adjacent_find(ranges.begin(), ranges.end(),
                               [](const UidRange& left, const UidRange& right) { return left.overlaps(right); });
        if (overlap != ranges.end()) {
            context.warning_at(places.rules[i],
                               fmt::format("rule {}: the uid ranges {}-{} and {}-{} overlap", policy.rules[i].id,
                                           overlap->first, overlap->last, (overlap + 1)->first, (overlap + 1)->last));
        }
    }
}

// Who may pay for a uid that an allow is about because it is in his range of /etc/subuid, sorted.
std::vector<std::uint32_t> owners_in_allows(const Policy& policy) {
    std::vector<std::uint32_t> owners;
    for (const Rule& rule : policy.rules) {
        for (const SubjectPattern& pattern : rule.subjects) {
            if (rule.effect == Effect::allow && pattern.uids) {
                for (const SubordinateRange& subordinate : policy.names.subordinate_in(*pattern.uids)) {
                    owners.push_back(subordinate.owner);
                }
            }
        }
    }
    std::sort(owners.begin(), owners.end());
    owners.erase(std::unique(owners.begin(), owners.end()), owners.end());
    return owners;
}

bool pays_as_owner(const AccountEntry& account, const std::vector<std::uint32_t>& owners) {
    const UidRange uids = account.user ? UidRange{*account.user, *account.user} : account.uids.value_or(UidRange{1, 0});
    const auto at = std::lower_bound(owners.begin(), owners.end(), uids.first);
    return at != owners.end() && *at <= uids.last;
}

// Whether an allow may be about a user of this account; true when in doubt. A unit may be anybody's, and so may a
// group that the kernel knows of and /etc/group does not.
bool account_used(const Policy& policy, const AccountEntry& account) {
    const auto about = [&policy, &account](const SubjectPattern& pattern) {
        if (pattern.nobody) {
            return false;
        }
        if (account.user) {
            const auto& groups = policy.names.groups_of(*account.user);
            return (!pattern.user || pattern.user == account.user) &&
                   (!pattern.uids || pattern.uids->contains(*account.user)) &&
                   (!pattern.group || std::find(groups.begin(), groups.end(), *pattern.group) != groups.end());
        }
        if (account.uids) {
            return (!pattern.user || account.uids->contains(*pattern.user)) &&
                   (!pattern.uids || pattern.uids->overlaps(*account.uids));
        }
        const auto& groups = policy.names.groups_of(pattern.user.value_or(highest_policy_uid));
        return !pattern.user || std::find(groups.begin(), groups.end(), *account.group) != groups.end();
    };
    return std::any_of(policy.rules.begin(), policy.rules.end(), [&about](const Rule& rule) {
        return rule.effect == Effect::allow && std::any_of(rule.subjects.begin(), rule.subjects.end(), about);
    });
}

bool pays_for_others(const Policy& policy, const AccountEntry& account) {
    return std::any_of(policy.accounts.begin(), policy.accounts.end(), [&account](const AccountEntry& other) {
        return other.charge && ((account.user && other.charge == account.user) || account.group ||
                                (account.uids && account.uids->contains(*other.charge)));
    });
}

void warn_of_unused_accounts(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    constexpr std::size_t most_comparisons = 1000000;
    if (policy.accounts.size() * (policy.rules.size() + policy.accounts.size()) > most_comparisons) {
        return;  // a hint only, and one that large generated policies do not need
    }
    const std::vector<std::uint32_t> owners = owners_in_allows(policy);
    for (std::uint32_t i = 0; i < policy.accounts.size(); ++i) {
        const AccountEntry& account = policy.accounts[i];
        if (!account.nobody && !account_used(policy, account) && !pays_for_others(policy, account) &&
            !pays_as_owner(account, owners)) {
            context.warning_at(places.accounts[i],
                               fmt::format("no allow rule is about {}: nothing is ever charged here", account.text));
        }
    }
}

// One user of a user namespace then has as many limits as subordinate uids. Meant only where the whole of a range is
// somebody's whom policy knows by it.
void warn_of_accounts_for_subordinates(LoadContext& context, const Policy& policy, const JsonValue& place,
                                       const AccountEntry& account) {
    const auto subordinates = policy.names.subordinate_in(*account.uids);
    if (!subordinates.empty()) {
        const SubordinateRange& first = subordinates.front();
        context.warning_at(
            place, fmt::format("each of {} has an account of its own, also of those that /etc/subuid gives to {} "
                               "({}-{}), who has that limit many times over; without this entry, or with \"charge\", "
                               "one account pays for them",
                               account.text, policy.names.user_text(first.owner), first.range.first, first.range.last));
    }
}

void warn_of_strangers_subordinates(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    for (std::uint32_t i = 0; i < policy.accounts.size(); ++i) {
        const AccountEntry& account = policy.accounts[i];
        if (!account.uids) {
            continue;
        }
        if (!account.charge) {
            warn_of_accounts_for_subordinates(context, policy, places.accounts[i], account);
            continue;
        }
        for (const SubordinateRange& subordinate : policy.names.subordinate_in(*account.uids)) {
            if (subordinate.owner != *account.charge) {
                context.warning_at(
                    places.accounts[i],
                    fmt::format("{} pays for {}, of which /etc/subuid gives {}-{} to {}",
                                policy.names.user_text(*account.charge), account.text, subordinate.range.first,
                                subordinate.range.last, policy.names.user_text(subordinate.owner)));
                break;
            }
        }
    }
}

}  // namespace

void add_warnings(LoadContext& context, const Policy& policy, const EntryPlaces& places) {
    warn_of_rules_for_nobody(context, policy, places);
    warn_of_overlapping_subjects(context, policy, places);
    warn_of_allows_under_denies(context, policy, places);
    warn_of_unused_accounts(context, policy, places);
    warn_of_strangers_subordinates(context, policy, places);
    warn_of_numbers(context, policy, places);
    warn_of_uids_of_containers(context, policy, places);
}

}  // namespace iommud::policy
