#include "policy/utf8.hpp"

namespace iommud::policy {
namespace {

// How many bytes the character that begins with `lead` has, and what its second byte may be; 0 for no such character.
struct Shape {
    std::size_t size = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
};

Shape shape_of(unsigned char lead) {
    if (lead < 0x80) {
        return {.size = 1};
    }
    if (lead >= 0xc2 && lead <= 0xdf) {
        return {.size = 2};
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        return {.size = 3,
                .low = static_cast<unsigned char>(lead == 0xe0 ? 0xa0 : 0x80),
                .high = static_cast<unsigned char>(lead == 0xed ? 0x9f : 0xbf)};
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        return {.size = 4,
                .low = static_cast<unsigned char>(lead == 0xf0 ? 0x90 : 0x80),
                .high = static_cast<unsigned char>(lead == 0xf4 ? 0x8f : 0xbf)};
    }
    return {};
}

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const Shape shape = shape_of(static_cast<unsigned char>(text[at]));
        if (shape.size == 0 || text.size() - at < shape.size) {
            return at;
        }
        for (std::size_t i = 1; i < shape.size; ++i) {
            const auto byte = static_cast<unsigned char>(text[at + i]);
            const bool second = i == 1;
            if (byte < (second ? shape.low : 0x80) || byte > (second ? shape.high : 0xbf)) {
                return at;
            }
        }
        at += shape.size;
    }
    return std::nullopt;
}

}  // namespace iommud::policy
