#include "daemon/keeper/own_memory.hpp"

#include <malloc.h>
#include <sys/mman.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace iommud::keeper {
namespace {

constexpr std::size_t heap_reserve = 64 * 1024;  // a control frame of 32 KiB, decoded, and an answer
constexpr std::size_t stack_reserve = 48 * 1024;

// The heap grows now, and never gives back.
void keep_heap_reserve() {
    ::mallopt(M_TRIM_THRESHOLD, INT_MAX);
    ::mallopt(M_MMAP_THRESHOLD, INT_MAX);
    ::mallopt(M_TOP_PAD, 0);
    void* const reserve = std::malloc(heap_reserve);
    if (reserve != nullptr) {
        std::memset(reserve, 0x5a, heap_reserve);
        asm volatile("" : : "g"(reserve) : "memory");  // or the compiler removes both
        std::free(reserve);
    }
}

__attribute__((noinline)) void touch_stack() {
    volatile char pages[stack_reserve];
    for (std::size_t i = 0; i < sizeof pages; i += 4096) {
        pages[i] = 0;
    }
}

}  // namespace

bool lock_own_memory() {
#ifdef IOMMUD_SANITIZED
    return true;  // a sanitizer's shadow is terabytes of addresses
#else
    keep_heap_reserve();
    touch_stack();
    return ::mlockall(MCL_CURRENT) == 0;
#endif
}

}  // namespace iommud::keeper
