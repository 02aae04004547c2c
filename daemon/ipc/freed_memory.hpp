// What the vault tells the monitor of the kernel, once: whether mode direct would show its holder what others freed.
#pragma once

#include <cstdint>

namespace iommud {

// What a process with an IOMMU context of its own could have a device read of what others freed, on this kernel: pages
// that nobody has cleared, by MAP_FILE (hazard C19). The zero value is the worst.
enum class FreedMemory : std::uint8_t {
    exposed = 0,
    cleared = 1,      // the kernel clears every page when it gives it: init_on_alloc
    unreachable = 2,  // the kernel has no MAP_FILE
};
[[nodiscard]] constexpr bool valid_enum(FreedMemory freed) {
    return freed <= FreedMemory::unreachable;
}
// As one of the manager's features.
[[nodiscard]] constexpr const char* feature_of(FreedMemory freed) {
    switch (freed) {
        case FreedMemory::exposed:
            return "freed_memory_exposed";
        case FreedMemory::cleared:
            return "freed_memory_cleared";
        case FreedMemory::unreachable:
            return "freed_memory_unreachable";
    }
    return "invalid";
}

}  // namespace iommud
