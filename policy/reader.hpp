// Reads typed values out of a Document; whatever is not as expected becomes a Diagnostic, and reading goes on, so that
// a person sees all errors at once.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/json.hpp"
#include "policy/names.hpp"
#include "policy/policy.hpp"

namespace iommud::policy {

// What all of one loading shares.
struct LoadContext {
    const Names& names;
    std::uint64_t host_total_memory = 0;
    std::uint32_t file = 0;  // of the document being read, in Policy::files
    Diagnostics& errors;
    Diagnostics& warnings;
    std::size_t suppressed = 0;  // errors beyond max_diagnostics: counted only

    [[nodiscard]] bool full() const;

    // "VALUE: MESSAGE" at the value's place.
    void error(const JsonValue& value, std::string_view expected);
    // MESSAGE alone.
    void error_at(const JsonValue& value, std::string message);
    void warning_at(const JsonValue& value, std::string message);
    [[nodiscard]] Where where(const JsonValue& value) const;
};

// One object of the language. Construction reports what is no object, unknown keys (with the nearest known one) and
// keys given twice.
class ObjectReader {
  public:
    ObjectReader(LoadContext& context, const JsonValue& value, std::initializer_list<std::string_view> known);
    [[nodiscard]] bool is_object() const { return is_object_; }
    [[nodiscard]] std::optional<JsonValue> find(std::string_view key) const;
    // Reports a missing key, at the object.
    [[nodiscard]] std::optional<JsonValue> require(std::string_view key) const;
    [[nodiscard]] bool empty() const { return members_.empty(); }
    [[nodiscard]] const JsonValue& value() const { return value_; }

  private:
    LoadContext& context_;
    JsonValue value_;
    bool is_object_ = false;
    std::vector<std::pair<std::string_view, JsonValue>> members_;
};

// Each returns nothing after having reported. `expected` says what a person should have written.
[[nodiscard]] std::optional<std::string> read_string(LoadContext& context, const JsonValue& value,
                                                     std::string_view expected);
[[nodiscard]] std::optional<bool> read_boolean(LoadContext& context, const JsonValue& value);
[[nodiscard]] std::optional<std::uint32_t> read_count(LoadContext& context, const JsonValue& value,
                                                      std::uint32_t lowest, std::uint32_t highest);
// Bytes; of a percentage, that share of the machine's memory.
[[nodiscard]] std::optional<std::uint64_t> read_size(LoadContext& context, const JsonValue& value);
// "100000-165535" or "1000".
[[nodiscard]] std::optional<UidRange> read_uids(LoadContext& context, const JsonValue& value);
// Exactly four hex digits.
[[nodiscard]] std::optional<std::uint16_t> read_id(LoadContext& context, const JsonValue& value);
// One of `names`, by its number there.
[[nodiscard]] std::optional<std::size_t> read_choice(LoadContext& context, const JsonValue& value,
                                                     const std::vector<std::string>& names);
// Reports what is no list and, unless it may be, an empty one.
enum class Empty { refused, allowed };
[[nodiscard]] std::vector<JsonValue> read_list(LoadContext& context, const JsonValue& value, std::string_view entries,
                                               Empty empty = Empty::refused);

// The one of `known` that `word` most likely meant; empty when none is near.
[[nodiscard]] std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace iommud::policy
