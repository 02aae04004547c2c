#include "daemon/kernel/address_arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "daemon/base/bytes.hpp"

namespace iommud::kernel {
namespace {

constexpr int no_memory = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
constexpr int populate_read = 22;  // MADV_POPULATE_READ, since 5.14; not in every C library's headers

void* pointer(std::uint64_t address) {
    return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): addresses are what we deal in
}

// Faults all pages in, up to 16 at a time, where pinning would do it one by one; each that nobody ever wrote is
// cleared. An errno that says why the range cannot be pinned either; 0 otherwise, since pinning faults in what is
// missing.
int populate(std::uint64_t address, std::uint64_t length) {
    if (::madvise(pointer(address), length, populate_read) == 0) {
        return 0;
    }
    const int error = errno;
    return error == EFAULT || error == ENOMEM ? error : 0;
}

}  // namespace

AddressArena::AddressArena(AddressArena&& other) noexcept
    : taken_(other.taken_),
      base_(std::exchange(other.base_, 0)),
      used_(std::move(other.used_)),
      count_(std::exchange(other.count_, 0)),
      packed_(std::exchange(other.packed_, 0)) {}

AddressArena::~AddressArena() {
    if (base_ != 0) {
        ::munmap(pointer(taken_), size + GiB);
    }
}

int AddressArena::reserve() {
    if (!used_.grow(1)) {
        return ENOMEM;
    }
    // The arena begins at a whole GiB, the largest page there is: so an address is aligned where its place is.
    void* const taken = ::mmap(nullptr, size + GiB, PROT_NONE, no_memory, -1, 0);
    if (taken == MAP_FAILED) {
        return errno;
    }
    taken_ = reinterpret_cast<std::uint64_t>(taken);
    base_ = (taken_ + GiB - 1) & ~(GiB - 1);
    return 0;
}

std::uint64_t AddressArena::address_of(std::uint32_t place) const {
    return base_ + std::uint64_t{place} * page_size;
}

// Where the first gap is that is large enough, in pages, and before which range it lies; 0: there is none. Place 0
// stands for none, so the first page is never used.
std::uint64_t AddressArena::lowest_place(std::uint64_t pages, std::uint64_t alignment, std::size_t& index) const {
    const auto align = [alignment](std::uint64_t place) { return (place + alignment - 1) & ~(alignment - 1); };
    index = packed_;
    std::uint64_t candidate = align(packed_ == 0 ? 1 : used_[packed_ - 1].end());
    while (index < count_ && candidate + pages > used_[index].place) {
        candidate = align(used_[index].end());
        ++index;
    }
    return candidate + pages <= size / page_size ? candidate : 0;
}

int AddressArena::put(const MapRequest& request, std::uint32_t& place) {
    if (base_ == 0 || request.length > size || !used_.grow(count_ + 1)) {
        return ENOMEM;
    }
    // Aligned so that large pages of memory can become large pages of the IOMMU.
    const std::uint64_t alignment =
        std::max({page_size, request.memory_page, request.length >= 2 * MiB ? 2 * MiB : page_size});
    const std::uint64_t pages = request.length / page_size;
    std::size_t index = 0;
    const std::uint64_t free = lowest_place(pages, alignment / page_size, index);
    if (free == 0) {
        return ENOMEM;
    }
    const std::uint64_t begin = address_of(static_cast<std::uint32_t>(free));
    // Without a reservation: huge pages that are promised to others are not taken for what is only mapped here.
    const int protection = PROT_READ | (request.access.write ? PROT_WRITE : 0);
    if (::mmap(pointer(begin), request.length, protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, request.memory.get(),
               static_cast<off_t>(request.offset)) == MAP_FAILED) {
        const int error = errno;
        clear(begin, request.length);  // a failed MAP_FIXED may have left a hole, which malloc might be given
        return error;
    }
    if (const int error = populate(begin, request.length); error != 0) {
        clear(begin, request.length);
        return error;
    }
    std::move_backward(used_.begin() + index, used_.begin() + count_, used_.begin() + count_ + 1);
    used_[index] = {static_cast<std::uint32_t>(free), static_cast<std::uint32_t>(pages)};
    ++count_;
    while (packed_ < count_ && used_[packed_].place == (packed_ == 0 ? 1 : used_[packed_ - 1].end())) {
        ++packed_;
    }
    place = static_cast<std::uint32_t>(free);
    return 0;
}

void AddressArena::retire(std::uint32_t place, std::uint64_t length) {
    const auto ranges = used_.first(count_);
    const auto found = std::lower_bound(ranges.begin(), ranges.end(), place,
                                        [](const Range& range, std::uint32_t value) { return range.place < value; });
    if (place == 0 || found == ranges.end() || found->place != place) {
        return;
    }
    clear(address_of(place), length);
    const auto index = static_cast<std::size_t>(found - ranges.begin());
    std::move(used_.begin() + index + 1, used_.begin() + count_, used_.begin() + index);
    --count_;
    packed_ = std::min(packed_, index);
}

// Where this fails (too many areas), the client's own memory lies there until the place is used again, which harms
// nobody: the kernel refers to it no more.
void AddressArena::clear(std::uint64_t address, std::uint64_t length) const {
    static_cast<void>(::mmap(pointer(address), length, PROT_NONE, no_memory | MAP_FIXED, -1, 0));
}

}  // namespace iommud::kernel
