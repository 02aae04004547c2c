#include "tests/bench/maps.hpp"

#include <fmt/format.h>

#include <vector>

namespace iommud::bench {

std::array<double, 3> maps_of(Helper& helper, Op op, std::uint64_t length, std::size_t repeats) {
    std::array<std::vector<double>, 3> seconds;
    for (std::size_t i = 0; i < repeats; ++i) {
        const Seconds one = helper(op, length);
        seconds[0].push_back(one[0]);
        seconds[1].push_back(one[1]);
        seconds[2].push_back(one[0] + one[1]);
    }
    return {median(seconds[0]), median(seconds[1]), median(seconds[2])};
}

std::string in_round_trips(const Rounds& rounds, double round_trip) {
    std::vector<double> values;
    for (std::size_t i = 0; i < rounds.ours.size(); ++i) {
        values.push_back((rounds.ours[i] - rounds.anchor[i]) / round_trip);
    }
    return fmt::format("{:.2f} ({:.2f}-{:.2f})", median(values), quantile(values, 0), quantile(values, 1));
}

}  // namespace iommud::bench
