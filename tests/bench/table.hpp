// Figures of a run: each beside its anchor, measured in turn with it. Medians over rounds, with the smallest and the
// largest. Nothing here asserts: the reader compares with the target.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace iommud::bench {

using Clock = std::chrono::steady_clock;

[[nodiscard]] inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// `share` 0.5 is the median. `values` must not be empty.
[[nodiscard]] double quantile(std::vector<double> values, double share);
[[nodiscard]] double median(std::vector<double> values);

// One value of each a round, in seconds.
struct Rounds {
    std::vector<double> anchor;
    std::vector<double> ours;
    void add(double of_anchor, double of_ours);
};

// "1.23 ms"
[[nodiscard]] std::string duration(double seconds);

// "1.08 (1.02-1.15)": ours as a multiple of the anchor, round by round.
[[nodiscard]] std::string ratio(const Rounds& rounds);

// "12.1 ms (9.80 ms-14.0 ms)": what ours takes on top of the anchor, round by round.
[[nodiscard]] std::string difference(const Rounds& rounds);

// A table with a rule below its head; as wide as its cells.
class Table {
  public:
    explicit Table(std::vector<std::string> head) { row(std::move(head)); }
    void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    void print(const std::string& title) const;

  private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace iommud::bench
