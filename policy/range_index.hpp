// Which of many ranges of uids hold a given uid, in time that grows with the answer: an interval tree laid out in a
// sorted vector. Ranges may overlap.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace iommud::policy {

struct UidRange {
    std::uint32_t first = 0;
    std::uint32_t last = 0;  // inclusive
    auto operator<=>(const UidRange&) const = default;
    [[nodiscard]] bool contains(std::uint32_t uid) const { return first <= uid && uid <= last; }
    [[nodiscard]] bool contains(const UidRange& other) const { return first <= other.first && other.last <= last; }
    [[nodiscard]] bool overlaps(const UidRange& other) const { return first <= other.last && other.first <= last; }
};

class RangeIndex {
  public:
    void add(UidRange range, std::uint32_t value) { entries_.push_back({range, value, 0}); }

    // Call once, after the last add().
    void build() {
        std::sort(entries_.begin(), entries_.end(),
                  [](const Entry& left, const Entry& right) { return left.range.first < right.range.first; });
        highest(0, entries_.size());
    }

    // Appends the values of the ranges that hold `uid`, or that share a uid with `range`.
    void find(std::uint32_t uid, std::vector<std::uint32_t>& values) const { find({uid, uid}, values); }
    void find(UidRange range, std::vector<std::uint32_t>& values) const { find(0, entries_.size(), range, values); }
    [[nodiscard]] bool empty() const { return entries_.empty(); }

  private:
    struct Entry {
        UidRange range;
        std::uint32_t value = 0;
        std::uint32_t highest_last = 0;  // of the subtree whose root this is
    };

    std::uint32_t highest(std::size_t begin, std::size_t end) {
        if (begin == end) {
            return 0;
        }
        const std::size_t middle = begin + (end - begin) / 2;
        const std::uint32_t below = std::max(highest(begin, middle), highest(middle + 1, end));
        entries_[middle].highest_last = std::max(entries_[middle].range.last, below);
        return entries_[middle].highest_last;
    }

    void find(std::size_t begin, std::size_t end, UidRange range, std::vector<std::uint32_t>& values) const {
        if (begin == end) {
            return;
        }
        const std::size_t middle = begin + (end - begin) / 2;
        const Entry& entry = entries_[middle];
        if (entry.highest_last < range.first) {
            return;
        }
        find(begin, middle, range, values);
        if (entry.range.first > range.last) {
            return;
        }
        if (entry.range.overlaps(range)) {
            values.push_back(entry.value);
        }
        find(middle + 1, end, range, values);
    }

    std::vector<Entry> entries_;
};

}  // namespace iommud::policy
