// Devices and patterns of devices as three words each, so that the many patterns of many rules are looked at with few
// instructions.
#pragma once

#include <cstdint>

#include "policy/policy.hpp"
#include "policy/subject.hpp"

namespace iommud::policy {

// A device's attributes; where one could not be read, value and known are 0.
struct DeviceWords {
    explicit DeviceWords(const DeviceFacts& facts);
    AttributeWords value;
    AttributeWords known;
};

// Whether `pattern` matches, but for texts, and an address that only AddressGlob can tell: then true. An attribute that
// could not be read matches a deny's pattern and not an allow's.
[[nodiscard]] inline bool may_match(const DeviceMask& pattern, const DeviceWords& device, Effect effect) {
    const auto wrong = [effect](std::uint64_t wanted, std::uint64_t mask, std::uint64_t value, std::uint64_t known) {
        const std::uint64_t differs = (wanted ^ value) & mask & known;
        return effect == Effect::deny ? differs : differs | (mask & ~known);
    };
    // The address, which is always known, first: it settles most.
    return ((pattern.value.address ^ device.value.address) & pattern.mask.address) == 0 &&
           (wrong(pattern.value.ids, pattern.mask.ids, device.value.ids, device.known.ids) |
            wrong(pattern.value.kind, pattern.mask.kind, device.value.kind, device.known.kind)) == 0;
}

[[nodiscard]] DeviceMask mask_of(const DevicePattern& pattern);

}  // namespace iommud::policy
