// What is wrong with a place that a client has chosen for a map, before the kernel is asked: its answer would be one
// errno for all of this.
#pragma once

#include <cstdint>
#include <optional>

#include "daemon/keeper/map_table.hpp"
#include "daemon/kernel/context.hpp"

namespace iommud::keeper {

// The value of INVALID_ARGUMENT for a map of [iova, iova + length), whose length is not 0; nothing when it may be
// tried.
[[nodiscard]] std::optional<std::uint64_t> iova_fault(const kernel::Geometry& geometry, const MapTable& table,
                                                      std::uint64_t iova, std::uint64_t length);

}  // namespace iommud::keeper
