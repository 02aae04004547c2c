// Maps, told to a helper many times over.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "tests/bench/helper.hpp"
#include "tests/bench/table.hpp"

namespace iommud::bench {

// Medians of `repeats`: {map, unmap, both}.
[[nodiscard]] std::array<double, 3> maps_of(Helper& helper, Op op, std::uint64_t length, std::size_t repeats);

// What ours takes on top of the anchor, as a multiple of `round_trip`: "0.93 (0.90-1.01)".
[[nodiscard]] std::string in_round_trips(const Rounds& rounds, double round_trip);

}  // namespace iommud::bench
