#include "daemon/keeper/iova_checks.hpp"

#include <algorithm>

#include "daemon/base/bytes.hpp"
#include "daemon/keeper/lease_frames.hpp"

namespace iommud::keeper {
namespace {

// The first page of [iova, last] outside of the usable ranges, and why. Where there are more ranges than a Geometry has
// room for, nothing is said of what lies above the last one.
std::optional<std::uint64_t> outside(const kernel::Geometry& geometry, std::uint64_t iova, std::uint64_t last) {
    std::uint64_t at = iova;
    for (const kernel::IovaRange& range : geometry.usable()) {
        if (at < range.first) {
            return fault_value(IOMMUD_IOVA_RESERVED, at);
        }
        if (at <= range.last) {
            if (last <= range.last) {
                return std::nullopt;
            }
            at = range.last + 1;
        }
    }
    const bool all_known = geometry.range_count > 0 && geometry.range_count < kernel::Geometry::most_ranges;
    return all_known ? std::optional(fault_value(IOMMUD_IOVA_BEYOND, at)) : std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> iova_fault(const kernel::Geometry& geometry, const MapTable& table, std::uint64_t iova,
                                        std::uint64_t length) {
    const std::uint64_t step = std::max(geometry.alignment, page_size);
    if (iova % step != 0) {
        return fault_value(IOMMUD_IOVA_MISALIGNED, step);
    }
    if (length - 1 > UINT64_MAX - iova) {
        return outside(geometry, iova, UINT64_MAX).value_or(fault_value(IOMMUD_IOVA_BEYOND));
    }
    if (const auto fault = outside(geometry, iova, iova + (length - 1))) {
        return fault;
    }
    const kernel::Map* const other = table.overlapping(iova, length);
    return other == nullptr ? std::nullopt : std::optional(fault_value(IOMMUD_IOVA_IN_USE, other->iova));
}

}  // namespace iommud::keeper
