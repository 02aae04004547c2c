// UUIDs as texts and as the 16 bytes that the kernel takes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace iommud {

using Uuid = std::array<std::uint8_t, 16>;

// Lower-case, with its four dashes; nothing for anything else.
[[nodiscard]] std::optional<Uuid> parse_uuid(std::string_view text);

// The text that parse_uuid takes.
[[nodiscard]] std::string uuid_text(const Uuid& uuid);

}  // namespace iommud
