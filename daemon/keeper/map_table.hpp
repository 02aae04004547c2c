// The maps of a lease, in order of iova. Its memory grows with their number, before each is made.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "daemon/kernel/context.hpp"
#include "daemon/kernel/locked_array.hpp"

namespace iommud::keeper {

class MapTable {
  public:
    explicit MapTable(std::uint32_t capacity, kernel::Locking locking = kernel::Locking::locked)
        : maps_(capacity, locking) {}

    [[nodiscard]] std::uint32_t size() const { return size_; }
    [[nodiscard]] std::uint32_t capacity() const { return static_cast<std::uint32_t>(maps_.most()); }
    [[nodiscard]] bool full() const { return size_ == maps_.most(); }
    // Takes the memory for one more. False: there is none, or no more may be locked.
    [[nodiscard]] bool make_room() { return maps_.grow(size_ + std::size_t{1}); }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    [[nodiscard]] std::span<const kernel::Map> all() const { return maps_.first(size_); }

    // The map that starts at `iova`, until the next change; null when there is none.
    [[nodiscard]] const kernel::Map* find(std::uint64_t iova) const;
    // The lowest map that has a byte of [iova, iova + length), until the next change; null when there is none. The
    // range must not wrap around.
    [[nodiscard]] const kernel::Map* overlapping(std::uint64_t iova, std::uint64_t length) const;

    // Not without room, nor over another map: check before.
    void insert(const kernel::Map& map);
    void erase(std::uint64_t iova);
    void clear();

  private:
    [[nodiscard]] std::size_t first_from(std::uint64_t iova) const;  // index of the first map at or after `iova`

    kernel::LockedArray<kernel::Map> maps_;
    std::uint32_t size_ = 0;
    std::uint64_t bytes_ = 0;
};

// The lowest iova at which `length` bytes fit between the maps and inside the usable ranges; never 0, which drivers
// take for "none". Maps of 2 MiB and more are aligned to that, so that the IOMMU can use large pages.
[[nodiscard]] std::optional<std::uint64_t> find_iova(std::span<const kernel::Map> maps,
                                                     std::span<const kernel::IovaRange> usable, std::uint64_t length,
                                                     std::uint64_t alignment);

}  // namespace iommud::keeper
