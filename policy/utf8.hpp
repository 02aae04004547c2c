// Whether a text is UTF-8, and if not, where.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace iommud::policy {

// The offset of the first byte that cannot stand there in UTF-8 (RFC 3629: no overlong form, no surrogate).
[[nodiscard]] std::optional<std::size_t> first_invalid_utf8(std::string_view text);

}  // namespace iommud::policy
