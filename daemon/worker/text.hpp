// Text that came from outside, made fit to be shown and to be sent.
#pragma once

#include <string>
#include <string_view>

namespace iommud::worker {

// 'text' in single quotes for an error message: at most 64 bytes of it, everything but printable ASCII as \xNN.
[[nodiscard]] std::string in_quotes(std::string_view text);

// What D-Bus takes as a string: `text` with '?' for every byte that is not part of valid UTF-8, and for NUL. One bad
// byte in a string would make the receiving client drop its connection.
[[nodiscard]] std::string valid_text(std::string_view text);
// The same without a copy where none is needed; valid as long as both arguments are.
[[nodiscard]] const char* valid_text(const std::string& text, std::string& copy);

}  // namespace iommud::worker
