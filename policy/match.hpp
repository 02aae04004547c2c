// Whether one rule's patterns match: the leaves of evaluate().
#pragma once

#include <span>
#include <string>
#include <vector>

#include "policy/device_mask.hpp"
#include "policy/policy.hpp"
#include "policy/subject.hpp"

namespace iommud::policy {

// The subject twice over: as allows see it, in a container as its payer, for uid and groups of its processes are what
// its author says; and as denies do, which cannot be shed (DESIGN §7): as itself, as whoever pays for it, as the owner
// of its subordinate uid, and with every group that /etc/group gives any of them. `policy` outlives it.
struct Asker {
    Asker(const Policy& policy, const Subject& subject);
    const Subject& subject;
    std::uint32_t allowed_as_uid;
    const std::vector<std::uint32_t>& allowed_as_groups;
    std::vector<std::uint32_t> denied_as_uids;
    std::vector<std::uint32_t> denied_as_groups;
};

// A device with its address as text, made once for many patterns.
struct DeviceText {
    explicit DeviceText(const DeviceFacts& device) : facts(&device), address(device.address.text()), words(device) {}
    const DeviceFacts* facts;
    std::string address;
    DeviceWords words;
};

[[nodiscard]] bool subject_matches(const Rule& rule, const Asker& asker);
// Whether `asker` is in a container, and an allow would match its payer but for that: it names no endpoint.
[[nodiscard]] bool only_for_the_host(const Rule& allow, const Asker& asker);
// An attribute that could not be read matches for a deny and not for an allow.
[[nodiscard]] bool device_matches(const Rule& rule, const DeviceText& device);

// The rules of `policy` that may match `asker` and one of the devices, ascending, none twice: a superset of those that
// do. For an allow only those `asked` for count, for a deny the `members` of their IOMMU groups too.
[[nodiscard]] std::vector<std::uint32_t> rules_about(const Policy& policy, const Asker& asker,
                                                     std::span<const DeviceText> asked,
                                                     std::span<const DeviceText> members);

}  // namespace iommud::policy
