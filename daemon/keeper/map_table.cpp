#include "daemon/keeper/map_table.hpp"

#include <algorithm>
#include <cassert>

#include "daemon/base/bytes.hpp"

namespace iommud::keeper {
namespace {

std::uint64_t last_of(const kernel::Map& map) {
    return map.iova + (map.length() - 1);
}

// Wraps around to 0 at the end of the numbers, which is below every usable range.
std::uint64_t align_up(std::uint64_t value, std::uint64_t step) {
    return (value + step - 1) & ~(step - 1);
}

}  // namespace

std::size_t MapTable::first_from(std::uint64_t iova) const {
    const auto maps = all();
    const auto found = std::lower_bound(maps.begin(), maps.end(), iova,
                                        [](const kernel::Map& map, std::uint64_t value) { return map.iova < value; });
    return static_cast<std::size_t>(found - maps.begin());
}

const kernel::Map* MapTable::find(std::uint64_t iova) const {
    const std::size_t index = first_from(iova);
    return index < size_ && maps_[index].iova == iova ? &maps_[index] : nullptr;
}

const kernel::Map* MapTable::overlapping(std::uint64_t iova, std::uint64_t length) const {
    const std::size_t index = first_from(iova);
    if (index > 0 && iova - maps_[index - 1].iova < maps_[index - 1].length()) {
        return &maps_[index - 1];
    }
    return index < size_ && maps_[index].iova - iova < length ? &maps_[index] : nullptr;
}

void MapTable::insert(const kernel::Map& map) {
    assert(!full() && overlapping(map.iova, map.length()) == nullptr);
    const auto at = static_cast<std::ptrdiff_t>(first_from(map.iova));
    std::move_backward(maps_.begin() + at, maps_.begin() + size_, maps_.begin() + size_ + 1);
    maps_[static_cast<std::size_t>(at)] = map;
    ++size_;
    bytes_ += map.length();
}

void MapTable::erase(std::uint64_t iova) {
    const auto at = static_cast<std::ptrdiff_t>(first_from(iova));
    assert(at < size_ && maps_[static_cast<std::size_t>(at)].iova == iova);
    bytes_ -= maps_[static_cast<std::size_t>(at)].length();
    std::move(maps_.begin() + at + 1, maps_.begin() + size_, maps_.begin() + at);
    --size_;
}

void MapTable::clear() {
    size_ = 0;
    bytes_ = 0;
}

std::optional<std::uint64_t> find_iova(std::span<const kernel::Map> maps, std::span<const kernel::IovaRange> usable,
                                       std::uint64_t length, std::uint64_t alignment) {
    const std::uint64_t step = std::max({alignment, page_size, length >= 2 * MiB ? 2 * MiB : page_size});
    auto map = maps.begin();
    for (const kernel::IovaRange& range : usable) {
        std::uint64_t candidate = align_up(std::max(range.first, page_size), step);
        while (candidate >= range.first && candidate <= range.last && length - 1 <= range.last - candidate) {
            const std::uint64_t last = candidate + (length - 1);
            // Candidates only grow: the maps are walked once.
            map = std::find_if(map, maps.end(), [candidate](const kernel::Map& m) { return last_of(m) >= candidate; });
            if (map == maps.end() || map->iova > last) {
                return candidate;
            }
            candidate = align_up(last_of(*map) + 1, step);
        }
    }
    return std::nullopt;
}

}  // namespace iommud::keeper
