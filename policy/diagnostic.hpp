// What is wrong with a policy, and exactly where: file, line, column, JSON pointer and what was expected.
#pragma once

#include <string>
#include <vector>

namespace iommud::policy {

struct Diagnostic {
    std::string file;
    unsigned line = 0;    // counted from 1; 0: the message is about the file itself
    unsigned column = 0;  // in characters, counted from 1
    std::string pointer;  // RFC 6901; empty: the whole document
    std::string message;
    auto operator<=>(const Diagnostic&) const = default;

    // policy.d/10-nics.json:14:22: /rules/2/devices/0/vendor: "0x8086": four hex digits, without 0x
    [[nodiscard]] std::string text() const;
};
using Diagnostics = std::vector<Diagnostic>;

// `text` as a person may see it: in double quotes, control characters escaped, cut after 60 bytes.
[[nodiscard]] std::string quoted(std::string_view text);

// "a, b or c".
[[nodiscard]] std::string alternatives(const std::vector<std::string>& names);

}  // namespace iommud::policy
