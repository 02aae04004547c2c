// The policy in force, as a value: what DESIGN §7's files say, names resolved, percentages computed, indexed by whom a
// rule mentions. Made by load(), read by evaluate(); never changed in between.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/base/bytes.hpp"
#include "daemon/base/pci_address.hpp"
#include "daemon/ipc/types.hpp"
#include "policy/address_glob.hpp"
#include "policy/diagnostic.hpp"
#include "policy/names.hpp"
#include "policy/range_index.hpp"

namespace iommud::policy {

inline constexpr std::uint64_t default_lease_memory = 64 * MiB;
inline constexpr std::uint32_t default_maps = 4096;
inline constexpr std::uint32_t default_leases = 64;
inline constexpr std::uint32_t default_devices = 64;
inline constexpr unsigned default_host_percent = 75;
// Uids from here on are the daemon's own (keepers, workers) or beyond what policy speaks of: never granted anything.
inline constexpr std::uint32_t first_daemon_uid = 0x70000000;
inline constexpr std::uint32_t highest_policy_uid = 0x7fffffff;

// Where something is written: "policy.d/10-nics.json:14".
struct Where {
    std::uint32_t file = 0;  // in Policy::files
    unsigned line = 0;
};

// Containers by id: one, or all that begin so ("web-*"); "*" is every container.
struct EndpointPattern {
    std::string begins;
    bool prefix = false;
    [[nodiscard]] bool matches(std::string_view id) const { return prefix ? id.starts_with(begins) : id == begins; }
    [[nodiscard]] bool every() const { return prefix && begins.empty(); }
    // Whether this matches all that `narrow` does.
    [[nodiscard]] bool covers(const EndpointPattern& narrow) const {
        return prefix ? narrow.begins.starts_with(begins) : !narrow.prefix && narrow.begins == begins;
    }
};

struct AnnotationPattern {
    std::string key;
    std::string value;
    bool operator==(const AnnotationPattern&) const = default;
};

// One entry of a rule's "subjects": every part that is there must match. With an endpoint it is about containers, and
// user, uids and group about the root of one, as the host sees it; without, about the host's processes.
struct SubjectPattern {
    std::optional<std::uint32_t> user;
    std::optional<UidRange> uids;
    std::optional<std::uint32_t> group;
    std::optional<std::string> unit;
    std::optional<EndpointPattern> endpoint;
    std::optional<AnnotationPattern> annotation;  // of an allow only; never matches without an endpoint
    bool nobody = false;                          // names somebody who does not exist: an allow that never matches
    std::string text;                             // "user alice, unit router.service"
};

// One entry of a rule's "devices": every part that is there must match.
struct DevicePattern {
    std::optional<AddressGlob> address;
    std::optional<std::uint16_t> vendor;
    std::optional<std::uint16_t> device;
    std::optional<std::uint16_t> subsystem_vendor;
    std::optional<std::uint16_t> subsystem_device;
    std::optional<std::uint32_t> class_code;  // compared under class_mask
    std::uint32_t class_mask = 0;
    std::optional<int> iommu_group;
    std::optional<std::string> path;
    std::optional<std::string> slot;
    std::optional<std::string> driver;
    std::optional<std::string> serial;
    std::string text;  // "vendor 8086, device 10d3"
    // Whether a number says which device it is that may be another's when a card has been added, and nothing else does:
    // a class or a driver is no device's own.
    [[nodiscard]] bool by_number() const {
        const bool any_address = address && address->text() == "*";
        return ((address && !any_address) || iommu_group) && !vendor && !subsystem_vendor && !path && !slot && !serial;
    }
};

// A DevicePattern as device_mask.hpp compares it: bits of `mask` that are not as in `value` do not match.
struct AttributeWords {
    std::uint64_t address = 0;
    std::uint64_t ids = 0;   // vendor, device, and the subsystem's
    std::uint64_t kind = 0;  // class and IOMMU group
};
struct DeviceMask {
    AttributeWords value;
    AttributeWords mask;
};

enum class Effect : std::uint8_t { deny = 0, allow = 1 };

// Set of modes, one bit for each.
using ModeSet = std::uint8_t;
[[nodiscard]] constexpr ModeSet mode_bit(Mode mode) {
    return static_cast<ModeSet>(1U << static_cast<unsigned>(mode));
}
inline constexpr ModeSet all_modes = 7;

struct Rule {
    std::string id;
    Effect effect = Effect::deny;
    std::vector<SubjectPattern> subjects;  // empty: everybody (a deny only)
    std::vector<DevicePattern> devices;    // empty: every device (a deny only)
    ModeSet modes = 0;
    std::optional<std::uint64_t> memory;  // bytes, the most a lease may reserve
    std::optional<std::uint32_t> maps;    // the most mappings a lease may have
    bool allow_no_reset = false;
    bool allow_uncleared_memory = false;  // mode direct where others' freed memory is exposed (docs/KERNELS.md)
    std::optional<std::string> vf_token;
    Where where;
};

// An entry of "accounts": exactly one of user, uids, group is there.
struct AccountEntry {
    std::optional<std::uint32_t> user;
    std::optional<UidRange> uids;
    std::optional<std::uint32_t> group;
    bool nobody = false;
    std::optional<std::uint32_t> charge;  // the uid that pays instead; the limits below are then that account's
    std::uint64_t memory = 0;
    std::uint32_t leases = default_leases;
    std::uint32_t devices = default_devices;
    std::string text;  // "user alice"
    Where where;
};

// Which rules of one effect mention whom, by number in Policy::rules.
struct SubjectIndex {
    std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> by_user;
    std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> by_group;
    std::unordered_map<std::string, std::vector<std::uint32_t>> by_unit;
    std::vector<std::uint32_t> any_unit;  // all that stand in by_unit
    std::unordered_map<std::string, std::vector<std::uint32_t>> by_endpoint;
    std::vector<std::uint32_t> by_endpoints;  // by the beginning of an id
    RangeIndex by_range;
    std::vector<std::uint32_t> everybody;
    // Those of everybody that name devices by plain addresses only, such as lists of what is the host's own.
    std::map<PciAddress, std::vector<std::uint32_t>> everybody_by_address;
};

// Every rule's device patterns, one rule after the other: `ends[i]` is where those of rule i end, and of the next
// begin.
struct DeviceIndex {
    std::vector<std::uint32_t> ends;
    std::vector<DeviceMask> masks;
};

// Which account a uid or group has, by number in Policy::accounts.
struct AccountIndex {
    std::unordered_map<std::uint32_t, std::uint32_t> by_user;
    std::unordered_map<std::uint32_t, std::uint32_t> by_group;
    RangeIndex by_range;
};

// The zero value denies everything to everybody.
struct Policy {
    std::vector<std::string> files;
    std::uint64_t host_memory = 0;    // bytes, for all accounts together
    std::optional<Where> host_where;  // absent: the default holds
    bool bus_acquire = false;         // whether leases can be had on the system bus, too
    std::optional<Where> bus_acquire_where;
    std::vector<AccountEntry> accounts;
    std::vector<Rule> rules;
    bool by_serial = false;  // whether some rule knows devices by their serial number
    Names names;
    Diagnostics warnings;  // worth a person's look; the policy holds all the same

    SubjectIndex allows;
    SubjectIndex denies;
    DeviceIndex rule_devices;
    AccountIndex account_index;

    [[nodiscard]] std::string text(const Where& where) const;
};

// n per cent of `total`, in whole pages.
[[nodiscard]] inline std::uint64_t percent_of(std::uint64_t total, unsigned percent) {
    const std::uint64_t bytes = total / 100 * percent + total % 100 * percent / 100;
    return bytes & ~(page_size - 1);
}

// Fills the four indexes, and by_serial, from rules and accounts.
void build_index(Policy& policy);

}  // namespace iommud::policy
