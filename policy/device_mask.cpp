#include "policy/device_mask.hpp"

namespace iommud::policy {
namespace {

constexpr std::uint64_t all_bits(unsigned bits) {
    return (std::uint64_t{1} << bits) - 1;
}

std::uint64_t packed(const PciAddress& address) {
    return std::uint64_t{address.domain} << 24 | std::uint64_t{address.bus} << 16 | std::uint64_t{address.slot} << 8 |
           address.function;
}

// Sets `bits` of a word, from `shift` on, when `number` is there.
template <class Number>
void put(std::uint64_t& word, std::uint64_t& mask, const std::optional<Number>& number, unsigned shift, unsigned bits) {
    if (number) {
        word |= (static_cast<std::uint64_t>(*number) & all_bits(bits)) << shift;
        mask |= all_bits(bits) << shift;
    }
}

// Of a device or a pattern: their attributes have the same names.
template <class Attributes>
void put_ids(AttributeWords& words, AttributeWords& masks, const Attributes& of) {
    put(words.ids, masks.ids, of.vendor, 48, 16);
    put(words.ids, masks.ids, of.device, 32, 16);
    put(words.ids, masks.ids, of.subsystem_vendor, 16, 16);
    put(words.ids, masks.ids, of.subsystem_device, 0, 16);
    put(words.kind, masks.kind, of.iommu_group, 0, 32);
}

}  // namespace

DeviceWords::DeviceWords(const DeviceFacts& facts) {
    put(value.address, known.address, std::optional(packed(facts.address)), 0, 56);
    put_ids(value, known, facts);
    put(value.kind, known.kind, facts.class_code, 32, 24);
}

DeviceMask mask_of(const DevicePattern& pattern) {
    DeviceMask made;
    if (pattern.address) {
        const AddressGlob::Fixed& fixed = pattern.address->fixed();
        made.value.address = packed(fixed.address);
        made.mask.address = (fixed.domain ? all_bits(32) << 24 : 0) | (fixed.bus ? all_bits(8) << 16 : 0) |
                            (fixed.slot ? all_bits(8) << 8 : 0) | (fixed.function ? all_bits(8) : 0);
    }
    put_ids(made.value, made.mask, pattern);
    if (pattern.class_code) {
        made.value.kind |= std::uint64_t{*pattern.class_code} << 32;
        made.mask.kind |= std::uint64_t{pattern.class_mask} << 32;
    }
    return made;
}

}  // namespace iommud::policy
