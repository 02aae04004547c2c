// The text of a seccomp allow-list, as rules. Used at build time only.
//
//   # why                                       to the end of the line
//   include NAME                                every rule of NAME.list too
//   SYSCALL                                     allowed with any arguments
//   SYSCALL argN == V [& argN == V ...]         allowed when each argument's low 32 bits are V
//   SYSCALL argN mask M == V [& ...]            allowed when its bits M are V
//
// Several lines for one syscall are alternatives. Only 32 bits are compared where nothing else is asked, because the
// kernel itself takes no more of an ioctl number, an fcntl command or a descriptor: whoever sets the upper half gains
// nothing and loses nothing.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.hpp"

namespace iommud::sandbox {

struct Condition {
    unsigned argument = 0;  // 0..5
    std::uint64_t mask = 0xffffffff;
    std::uint64_t value = 0;
    auto operator<=>(const Condition&) const = default;
};
using Alternative = std::vector<Condition>;  // all must hold; empty: always

// By syscall name. One that is allowed always has exactly one, empty alternative.
using Rules = std::map<std::string, std::set<Alternative>>;

// The text of the list NAME, or nothing when there is none.
using ReadList = std::function<std::optional<std::string>(std::string_view name)>;

// Error messages are "NAME.list:LINE: what is wrong".
[[nodiscard]] Result<Rules> parse_list(std::string_view name, const ReadList& read_list);

}  // namespace iommud::sandbox
