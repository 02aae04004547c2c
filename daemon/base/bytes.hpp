// Sizes in bytes as people write them: "12MiB", "8GiB", "4096".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace iommud {

inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr std::uint64_t GiB = 1024 * MiB;

// Of a page of this kernel's, in which it pins and counts memory. The unit tests have a definition of their own, so
// that they can be run with pages of other sizes (tests/unit/page_size.cpp).
[[nodiscard]] std::uint64_t kernels_page_size();
inline const std::uint64_t page_size = kernels_page_size();
// Larger ones are not served: nothing is tested with them.
inline constexpr std::uint64_t largest_page_size = 64 * KiB;

// A decimal number with an optional unit of B, KiB, MiB, GiB, TiB. Nothing for anything else or an overflow.
[[nodiscard]] std::optional<std::uint64_t> parse_bytes(std::string_view text);

// "12 MiB" when it is a whole number of a unit, else with one decimal: "1.5 GiB".
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

// Rounds up to whole pages, as the kernel charges; saturates at the largest multiple.
[[nodiscard]] inline std::uint64_t page_align_up(std::uint64_t bytes) {
    const std::uint64_t most = ~(page_size - 1);
    return bytes > most ? most : (bytes + page_size - 1) & ~(page_size - 1);
}

}  // namespace iommud
