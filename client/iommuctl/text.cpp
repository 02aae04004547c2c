#include "client/iommuctl/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace iommud::ctl {
namespace {

struct Character {
    char32_t code = 0;
    std::size_t length = 1;  // bytes
};

// The UTF-8 character at the start of `text`; nothing where there is none. Overlong forms, surrogates and what is
// beyond U+10FFFF are none.
std::optional<Character> decode(std::string_view text) {
    const auto first = static_cast<unsigned char>(text.front());
    if (first < 0x80) {
        return Character{first, 1};
    }
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) {
        return std::nullopt;
    }
    auto code = static_cast<char32_t>(first & (0x7fU >> length));
    for (std::size_t i = 1; i < length; ++i) {
        const auto next = static_cast<unsigned char>(text[i]);
        if ((next & 0xc0U) != 0x80) {
            return std::nullopt;
        }
        code = (code << 6U) | (next & 0x3fU);
    }
    constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return std::nullopt;
    }
    return Character{code, length};
}

// C0, C1, line separators, marks and overrides of direction (Unicode TR 36), byte order mark.
bool steers(char32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || (code >= 0x200e && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

// Columns on a terminal, near enough: one per character.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80; }));
}

}  // namespace

std::string printable(std::string_view text) {
    std::string safe;
    while (!text.empty()) {
        const auto character = decode(text);
        if (!character) {
            safe += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
        } else if (steers(character->code)) {
            const auto code = static_cast<std::uint32_t>(character->code);
            safe += code < 0x80 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{{{:04x}}}", code);
        } else {
            safe += text.substr(0, character->length);
        }
        text.remove_prefix(character ? character->length : 1);
    }
    return safe;
}

std::string bold(std::string_view text, const Style& style) {
    return style.colour ? fmt::format("\x1b[1m{}\x1b[0m", text) : std::string(text);
}

std::string loud(std::string_view text, const Style& style) {
    return style.colour ? fmt::format("\x1b[1;7;33m{}\x1b[0m", text) : std::string(text);
}

void Table::add(std::vector<std::string> cells) {
    cells.resize(columns_.size());
    for (std::string& cell : cells) {
        cell = cell.empty() ? "-" : printable(cell);
    }
    lines_.push_back(std::move(cells));
}

std::string Table::line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) const {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const std::string space(widths[i] - width(cells[i]), ' ');
        const bool last = i + 1 == cells.size();
        text += columns_[i].align == Align::right ? space + cells[i] : cells[i] + (last ? "" : space);
        text += last ? "" : "  ";
    }
    return text;
}

std::string Table::text(const Style& style) const {
    if (lines_.empty()) {
        return style.legend ? nothing_ + '\n' : "";
    }
    std::vector<std::string> titles;
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        titles.push_back(columns_[i].title);
        widths.push_back(style.legend ? width(columns_[i].title) : 0);
        for (const auto& cells : lines_) {
            widths[i] = std::max(widths[i], width(cells[i]));
        }
    }
    std::string text = style.legend ? bold(line(titles, widths), style) + '\n' : "";
    for (const auto& cells : lines_) {
        text += line(cells, widths) + '\n';
    }
    return text;
}

std::string details(const std::vector<std::pair<std::string, std::string>>& fields) {
    std::size_t widest = 0;
    for (const auto& [name, value] : fields) {
        widest = std::max(widest, width(name));
    }
    std::string text;
    for (const auto& [name, value] : fields) {
        text += fmt::format("{}:{} {}\n", name, std::string(widest - width(name), ' '),
                            value.empty() ? "-" : printable(value));
    }
    return text;
}

}  // namespace iommud::ctl
