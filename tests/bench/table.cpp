#include "tests/bench/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace iommud::bench {
namespace {

std::vector<double> pairwise(const Rounds& rounds, double (*combine)(double anchor, double ours)) {
    std::vector<double> values;
    for (std::size_t i = 0; i < rounds.anchor.size(); ++i) {
        values.push_back(combine(rounds.anchor[i], rounds.ours[i]));
    }
    return values;
}

}  // namespace

double quantile(std::vector<double> values, double share) {
    const auto last = static_cast<double>(values.size() - 1);
    const auto nth = values.begin() + static_cast<std::ptrdiff_t>(last * share + 0.5);
    std::nth_element(values.begin(), nth, values.end());
    return *nth;
}

double median(std::vector<double> values) {
    return quantile(std::move(values), 0.5);
}

void Rounds::add(double of_anchor, double of_ours) {
    anchor.push_back(of_anchor);
    ours.push_back(of_ours);
}

std::string duration(double seconds) {
    const double size = seconds < 0 ? -seconds : seconds;
    if (size < 1e-3) {
        return fmt::format("{:.1f} us", seconds * 1e6);
    }
    return size < 1 ? fmt::format("{:.2f} ms", seconds * 1e3) : fmt::format("{:.2f} s", seconds);
}

std::string ratio(const Rounds& rounds) {
    const auto values = pairwise(rounds, [](double anchor, double ours) { return ours / anchor; });
    return fmt::format("{:.2f} ({:.2f}-{:.2f})", median(values), quantile(values, 0), quantile(values, 1));
}

std::string difference(const Rounds& rounds) {
    const auto values = pairwise(rounds, [](double anchor, double ours) { return ours - anchor; });
    return fmt::format("{} ({}-{})", duration(median(values)), duration(quantile(values, 0)),
                       duration(quantile(values, 1)));
}

void Table::print(const std::string& title) const {
    std::vector<std::size_t> widths(rows_.front().size());
    for (const auto& cells : rows_) {
        for (std::size_t i = 0; i < cells.size(); ++i) {
            widths[i] = std::max(widths[i], cells[i].size());
        }
    }
    fmt::print("\n{}\n\n", title);
    for (std::size_t line = 0; line < rows_.size(); ++line) {
        std::string text = "|";
        std::string rule = "|";
        for (std::size_t i = 0; i < widths.size(); ++i) {
            text += fmt::format(" {:<{}} |", rows_[line][i], widths[i]);
            rule += fmt::format("{:-<{}}|", "", widths[i] + 2);
        }
        fmt::print("{}\n{}", text, line == 0 ? rule + "\n" : "");
    }
    std::fflush(stdout);
}

}  // namespace iommud::bench
