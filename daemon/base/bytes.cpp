#include "daemon/base/bytes.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace iommud {
namespace {

struct Unit {
    const char* name;
    std::uint64_t bytes;
};
constexpr std::array<Unit, 5> units{{{"B", 1}, {"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}, {"TiB", 1024 * GiB}}};

}  // namespace

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || rest == text.data()) {
        return std::nullopt;
    }
    const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
    if (unit.empty()) {
        return number;
    }
    for (const Unit& known : units) {
        std::uint64_t bytes = 0;
        if (unit == known.name) {
            return __builtin_mul_overflow(number, known.bytes, &bytes) ? std::nullopt : std::optional(bytes);
        }
    }
    return std::nullopt;
}

std::string format_bytes(std::uint64_t bytes) {
    for (std::size_t i = units.size(); i-- > 1;) {
        if (bytes >= units[i].bytes) {
            return bytes % units[i].bytes == 0
                       ? fmt::format("{} {}", bytes / units[i].bytes, units[i].name)
                       : fmt::format("{:.1f} {}", static_cast<double>(bytes) / static_cast<double>(units[i].bytes),
                                     units[i].name);
        }
    }
    return fmt::format("{} B", bytes);
}

}  // namespace iommud
