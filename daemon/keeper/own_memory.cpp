#include "daemon/keeper/own_memory.hpp"

#include <malloc.h>
#include <sys/mman.h>

#include <climits>
#include <cstdlib>

#include "daemon/base/bytes.hpp"
#include "daemon/ipc/codec.hpp"

namespace iommud::keeper {
namespace {

constexpr std::size_t heap_reserve = 40 * KiB;  // for a control frame of 32 KiB, decoded, and an answer
// A control frame as it is received, and ten times what was ever seen in use beside it. What goes beyond grows a stack
// that is locked: where the account's limit is lower than what the keeper has locked, that is its end.
constexpr std::size_t stack_reserve = ipc::max_frame + 32 * KiB;

// The heap grows now, never again, and gives nothing back.
[[maybe_unused]] void keep_heap_reserve() {
    // NOLINTBEGIN(concurrency-mt-unsafe): there is one thread
    ::mallopt(M_TOP_PAD, 0);
    ::mallopt(M_MMAP_THRESHOLD, INT_MAX);
    ::mallopt(M_TRIM_THRESHOLD, INT_MAX);
    // NOLINTEND(concurrency-mt-unsafe)
    void* const reserve = std::malloc(heap_reserve);
    asm volatile("" : : "g"(reserve) : "memory");  // or the compiler removes both calls
    std::free(reserve);
    ::malloc_trim(heap_reserve);  // what start-up left beyond it
}

// Gives away what the kernel lays out below the part of the stack that we use: locking would fill all of its 132 KiB.
[[maybe_unused]] void keep_stack_reserve() {
    constexpr std::uint64_t below = 256 * KiB;  // nothing else is that near: the kernel keeps a gap of 1 MiB
    const auto here = reinterpret_cast<std::uint64_t>(__builtin_frame_address(0)) & ~std::uint64_t{4095};
    ::munmap(reinterpret_cast<void*>(here - stack_reserve - below), below);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

bool lock_own_memory() {
#ifdef IOMMUD_SANITIZED
    return true;  // a sanitizer's shadow is terabytes of addresses
#else
    keep_heap_reserve();
    keep_stack_reserve();
    return ::mlockall(MCL_CURRENT) == 0;  // which touches every page, too
#endif
}

}  // namespace iommud::keeper
