#include "daemon/worker/text.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace iommud::worker {
namespace {

std::uint32_t byte_at(std::string_view text, std::size_t index) {
    return static_cast<unsigned char>(text[index]);
}

// The length of the character that a leading byte announces; 0: no leading byte.
std::size_t announced_length(std::uint32_t lead) {
    if (lead < 0x80) {
        return 1;
    }
    if ((lead & 0xe0) == 0xc0) {
        return 2;
    }
    if ((lead & 0xf0) == 0xe0) {
        return 3;
    }
    return (lead & 0xf8) == 0xf0 ? 4 : 0;
}

// The length of the valid character at the start of `text`, which is not empty; 0: there is none.
std::size_t character_length(std::string_view text) {
    const std::uint32_t lead = byte_at(text, 0);
    const std::size_t length = announced_length(lead);
    if (length == 0 || length > text.size() || lead == 0) {
        return 0;
    }
    if (length == 1) {
        return 1;
    }
    std::uint32_t point = lead & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte_at(text, i) & 0xc0) != 0x80) {
            return 0;
        }
        point = point << 6 | (byte_at(text, i) & 0x3f);
    }
    constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};  // below it: an overlong form
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point < smallest[length] || point > 0x10ffff || surrogate ? 0 : length;
}

}  // namespace

std::string in_quotes(std::string_view text) {
    constexpr std::size_t most = 64;
    std::string out = "'";
    for (const char character : text.substr(0, most)) {
        const auto byte = static_cast<unsigned char>(character);
        if (byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != '\'') {
            out += character;
        } else {
            out += fmt::format("\\x{:02x}", byte);
        }
    }
    return out + (text.size() > most ? "...'" : "'");
}

const char* valid_text(const std::string& text, std::string& copy) {
    bool plain = true;
    for (const char character : text) {
        plain &= character > 0;  // ASCII, and no NUL
    }
    if (!plain) {
        copy = valid_text(std::string_view(text));
    }
    return plain ? text.c_str() : copy.c_str();
}

std::string valid_text(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = character_length(text);
        out += length == 0 ? std::string_view("?") : text.substr(0, length);
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return out;
}

}  // namespace iommud::worker
