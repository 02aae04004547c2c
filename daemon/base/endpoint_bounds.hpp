// What may be said of a container when its endpoint is opened: checked by the daemon, kept to by the hook.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace iommud {

inline constexpr std::size_t longest_endpoint_id = 128;
inline constexpr std::size_t most_annotations = 32;
inline constexpr std::size_t longest_annotation_key = 128;
inline constexpr std::size_t longest_annotation_value = 256;
inline constexpr std::size_t most_annotation_bytes = 3072;  // so that the vault can hold a container's record

// 1 to 128 letters, digits, '-', '_' and '.', the first no '.': safe as a folder's name.
[[nodiscard]] inline bool valid_endpoint_id(std::string_view id) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return !id.empty() && id.size() <= longest_endpoint_id && id.front() != '.' &&
           id.find_first_not_of(allowed) == std::string_view::npos;
}

[[nodiscard]] inline bool valid_annotation(std::string_view key, std::string_view value) {
    const auto printable = [](std::string_view text) {
        return std::all_of(text.begin(), text.end(), [](char c) { return (c < 0 || c >= 0x20) && c != 0x7f; });
    };
    return !key.empty() && key.size() <= longest_annotation_key && value.size() <= longest_annotation_value &&
           printable(key) && printable(value);
}

// How much of most_annotation_bytes one takes.
[[nodiscard]] inline std::size_t annotation_bytes(std::string_view key, std::string_view value) {
    return key.size() + value.size() + 8;
}

}  // namespace iommud
