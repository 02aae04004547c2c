#include "policy/diagnostic.hpp"

#include <fmt/format.h>

namespace iommud::policy {

std::string Diagnostic::text() const {
    std::string result = file;
    if (line > 0) {
        result += fmt::format(":{}:{}", line, column);
    }
    if (!pointer.empty()) {
        result += fmt::format(": {}", pointer);
    }
    return result + ": " + message;
}

std::string quoted(std::string_view text) {
    constexpr std::size_t longest = 60;
    std::string result = "\"";
    std::size_t shown = text.size();
    if (text.size() > longest) {
        // Not in the middle of a character: back to a byte that begins one.
        for (shown = longest; shown > 0 && (static_cast<unsigned char>(text[shown]) & 0xc0) == 0x80;) {
            --shown;
        }
    }
    for (const char c : text.substr(0, shown)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            result += fmt::format("\\u{:04x}", byte);
        } else {
            result += c;
        }
    }
    return result + (shown < text.size() ? "…\"" : "\"");
}

std::string alternatives(const std::vector<std::string>& names) {
    std::string result;
    for (std::size_t i = 0; i < names.size(); ++i) {
        result += i == 0 ? "" : i + 1 == names.size() ? " or " : ", ";
        result += names[i];
    }
    return result;
}

}  // namespace iommud::policy
