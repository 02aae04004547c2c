// What clients ask for, checked before the monitor hears of it: good messages are made here, decisions are not; the
// monitor checks everything again. Pure: reading a{sv} out of a message is arguments.hpp's part.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "daemon/base/bounds.hpp"
#include "daemon/base/result.hpp"
#include "daemon/ipc/types.hpp"

namespace iommud::worker {

inline constexpr std::size_t most_fds_on_system_bus = 16;  // one more, and dbus-daemon disconnects us (hazard H3)
inline constexpr std::size_t most_options = 16;

// A variant of a type that no option of ours has; what it was, for the message.
struct OtherType {
    std::string signature;
};
struct Option {
    std::string key;
    std::variant<std::string, std::uint64_t, OtherType> value;  // s, t, anything else
};

struct AcquireOptions {
    Mode mode = Mode::managed;
    std::optional<std::uint64_t> memory;  // bytes
    std::string label;
    std::string vf_token;  // empty: none
};

// Of Acquire: mode s, memory t, label s, vf_token s.
[[nodiscard]] Result<AcquireOptions> parse_acquire_options(std::span<const Option> options);
// Of Explain: mode s, memory t.
[[nodiscard]] Result<AcquireOptions> parse_explain_options(std::span<const Option> options);
// Explain's subject: user s, a name or a decimal uid; absent: the caller itself.
[[nodiscard]] Result<std::optional<std::string>> parse_subject(std::span<const Option> options);
// For methods that have no option yet.
[[nodiscard]] Result<void> parse_no_options(std::span<const Option> options);

// 1 to 32 addresses, none twice.
[[nodiscard]] Result<std::vector<PciAddress>> parse_addresses(std::span<const std::string> texts);

// The message for `count` devices, more than most_lease_devices.
[[nodiscard]] std::string too_many_devices(std::size_t count);

// At most `most` bytes, no control characters. `what` begins the message: "label".
[[nodiscard]] Result<void> check_text(std::string_view what, std::string_view text, std::size_t most);

// The id in "/org/iommud1/lease/17"; nothing for any other path.
[[nodiscard]] std::optional<LeaseId> lease_id_of(std::string_view path);

}  // namespace iommud::worker
