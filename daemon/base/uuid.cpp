#include "daemon/base/uuid.hpp"

namespace iommud {

std::optional<Uuid> parse_uuid(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    Uuid uuid{};
    if (text.size() != 36) {
        return std::nullopt;
    }
    std::size_t nibble = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-') {
                return std::nullopt;
            }
            continue;
        }
        const std::size_t digit = digits.find(text[i]);
        if (digit == std::string_view::npos) {
            return std::nullopt;
        }
        std::uint8_t& byte = uuid.at(nibble / 2);
        byte = static_cast<std::uint8_t>((static_cast<std::size_t>(byte) << 4) | digit);
        ++nibble;
    }
    return uuid;
}

std::string uuid_text(const Uuid& uuid) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : uuid) {
        if (text.size() == 8 || text.size() == 13 || text.size() == 18 || text.size() == 23) {
            text += '-';
        }
        text += digits[byte >> 4U];
        text += digits[byte & 0xfU];
    }
    return text;
}

}  // namespace iommud
