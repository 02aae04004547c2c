// The entries of "accounts" and "rules": JSON into structs.
#pragma once

#include <optional>

#include "policy/reader.hpp"

namespace iommud::policy {

// Nothing when the entry says not even whom or what it is about; all faults are reported either way.
[[nodiscard]] std::optional<AccountEntry> read_account(LoadContext& context, const JsonValue& value);
[[nodiscard]] std::optional<Rule> read_rule(LoadContext& context, const JsonValue& value);

[[nodiscard]] SubjectPattern read_subject(LoadContext& context, const JsonValue& value, Effect effect);
[[nodiscard]] DevicePattern read_device(LoadContext& context, const JsonValue& value);

// A name's number. An unknown name sets `nobody` and is a warning, or an error where something is denied or charged.
enum class Unknown { warning, error };
[[nodiscard]] std::optional<std::uint32_t> read_user(LoadContext& context, const JsonValue& value, Unknown unknown,
                                                     bool& nobody);
[[nodiscard]] std::optional<std::uint32_t> read_group(LoadContext& context, const JsonValue& value, Unknown unknown,
                                                      bool& nobody);

}  // namespace iommud::policy
