#include "daemon/kernel/address_arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "daemon/base/bytes.hpp"

namespace iommud::kernel {
namespace {

constexpr int no_memory = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

void* pointer(std::uint64_t address) {
    return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): addresses are what we deal in
}

}  // namespace

AddressArena::~AddressArena() {
    if (base_ != 0) {
        ::munmap(pointer(base_), size);
    }
}

int AddressArena::reserve() {
    void* const base = ::mmap(nullptr, size, PROT_NONE, no_memory, -1, 0);
    if (base == MAP_FAILED) {
        return errno;
    }
    base_ = reinterpret_cast<std::uint64_t>(base);
    next_ = base_ + page_size;  // place 0 stands for none
    return 0;
}

std::uint64_t AddressArena::address_of(std::uint32_t place) const {
    return base_ + std::uint64_t{place} * page_size;
}

int AddressArena::put(const MapRequest& request, std::uint32_t& place) {
    // Aligned so that large pages of memory can become large pages of the IOMMU.
    const std::uint64_t alignment =
        std::max({page_size, request.memory_page, request.length >= 2 * MiB ? 2 * MiB : page_size});
    const std::uint64_t begin = (next_ + alignment - 1) & ~(alignment - 1);
    const std::uint64_t end = base_ + size;
    if (base_ == 0 || begin >= end || request.length > end - begin) {
        return ENOMEM;
    }
    const int protection = PROT_READ | (request.access.write ? PROT_WRITE : 0);
    const auto fresh = static_cast<std::uint32_t>((begin - base_) / page_size);
    next_ = begin + request.length;
    if (::mmap(pointer(begin), request.length, protection, MAP_SHARED | MAP_FIXED, request.memory.get(),
               static_cast<off_t>(request.offset)) == MAP_FAILED) {
        const int error = errno;
        retire(fresh, request.length);  // a failed MAP_FIXED may have left a hole, which malloc might be given
        return error;
    }
    place = fresh;
    return 0;
}

void AddressArena::retire(std::uint32_t place, std::uint64_t length) {
    if (place != 0) {
        // Where this fails (too many areas), the client's own memory stays there, which harms nobody.
        static_cast<void>(::mmap(pointer(address_of(place)), length, PROT_NONE, no_memory | MAP_FIXED, -1, 0));
    }
}

}  // namespace iommud::kernel
