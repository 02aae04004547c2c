#include "policy/reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "daemon/base/bounds.hpp"
#include "policy/load.hpp"

namespace iommud::policy {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

std::size_t edit_distance(std::string_view left, std::string_view right) {
    std::vector<std::size_t> row(right.size() + 1);
    for (std::size_t j = 0; j <= right.size(); ++j) {
        row[j] = j;
    }
    for (std::size_t i = 1; i <= left.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= right.size(); ++j) {
            const std::size_t replaced = diagonal + (left[i - 1] == right[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
        }
    }
    return row[right.size()];
}

std::optional<std::uint64_t> decimal(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

}  // namespace

bool LoadContext::full() const {
    return errors.size() >= max_diagnostics;
}

void LoadContext::error(const JsonValue& value, std::string_view expected) {
    error_at(value, fmt::format("{}: {}", value.shown(), expected));
}

void LoadContext::error_at(const JsonValue& value, std::string message) {
    // The bound is on the work as well: a pointer costs a walk over its siblings.
    if (full()) {
        ++suppressed;
        return;
    }
    errors.push_back(value.document().diagnostic(value.index(), std::move(message)));
}

void LoadContext::warning_at(const JsonValue& value, std::string message) {
    if (warnings.size() < max_diagnostics) {
        warnings.push_back(value.document().diagnostic(value.index(), std::move(message)));
    }
}

Where LoadContext::where(const JsonValue& value) const {
    return Where{file, value.document().line(value.index())};
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
    constexpr std::size_t longest = 40;
    std::string best;
    std::size_t best_distance = std::min<std::size_t>(3, word.size() / 2 + 1);  // at least half of it is right
    for (const std::string& name : known) {
        const std::size_t distance = word.size() > longest ? longest : edit_distance(word, name);
        if (distance < best_distance) {
            best_distance = distance;
            best = name;
        }
    }
    return best;
}

ObjectReader::ObjectReader(LoadContext& context, const JsonValue& value, std::initializer_list<std::string_view> known)
    : context_(context), value_(value), is_object_(value.kind() == JsonKind::object) {
    if (!is_object_) {
        context.error(value, "an object, in braces");
        return;
    }
    for (auto key = value.first_child(); key; key = key->next_in(value)) {
        const JsonValue name = *key;
        key = key->next_in(value);  // now the value
        if (std::find(known.begin(), known.end(), name.text()) == known.end()) {
            if (context.full()) {  // a search for the nearest key has its cost
                ++context.suppressed;
                continue;
            }
            const std::vector<std::string> names(known.begin(), known.end());
            const std::string meant = nearest(name.text(), names);
            context.error_at(name, fmt::format("unknown key {}: {}", name.shown(),
                                               meant.empty() ? "here may stand " + alternatives(names)
                                                             : "did you mean " + quoted(meant) + "?"));
        } else if (find(name.text())) {
            context.error_at(name, fmt::format("{} is given twice", name.shown()));
        } else {
            members_.emplace_back(name.text(), *key);
        }
    }
}

std::optional<JsonValue> ObjectReader::find(std::string_view key) const {
    for (const auto& [name, value] : members_) {
        if (name == key) {
            return value;
        }
    }
    return std::nullopt;
}

std::optional<JsonValue> ObjectReader::require(std::string_view key) const {
    const auto value = find(key);
    if (!value && is_object_) {
        context_.error_at(value_, fmt::format("\"{}\" is missing", key));
    }
    return value;
}

std::optional<std::string> read_string(LoadContext& context, const JsonValue& value, std::string_view expected) {
    constexpr std::size_t longest = 256;  // a unit's name, by systemd
    if (value.kind() != JsonKind::string || value.text().empty() || value.text().size() > longest) {
        context.error(value, expected);
        return std::nullopt;
    }
    return std::string(value.text());
}

std::optional<bool> read_boolean(LoadContext& context, const JsonValue& value) {
    if (value.kind() != JsonKind::boolean) {
        context.error(value, "true or false");
        return std::nullopt;
    }
    return value.text() == "true";
}

std::optional<std::uint32_t> read_count(LoadContext& context, const JsonValue& value, std::uint32_t lowest,
                                        std::uint32_t highest) {
    const auto number = value.unsigned_integer();
    if (!number || *number < lowest || *number > highest) {
        context.error(value, fmt::format("a whole number from {} to {}", lowest, highest));
        return std::nullopt;
    }
    return static_cast<std::uint32_t>(*number);
}

std::optional<std::uint64_t> read_size(LoadContext& context, const JsonValue& value) {
    constexpr std::string_view expected = R"(a size such as "512MiB", "8GiB" or "75%")";
    if (value.kind() != JsonKind::string) {
        context.error(value, expected);
        return std::nullopt;
    }
    const std::string_view text = value.text();
    std::optional<std::uint64_t> bytes;
    if (text.ends_with('%')) {
        const auto percent = decimal(text.substr(0, text.size() - 1));
        if (!percent || *percent < 1 || *percent > 100) {
            context.error(value, "a percentage from 1% to 100%");
            return std::nullopt;
        }
        bytes = percent_of(context.host_total_memory, static_cast<unsigned>(*percent));
    } else {
        bytes = parse_bytes(text);
    }
    if (!bytes) {
        context.error(value, expected);
    } else if (*bytes < page_size) {
        context.error(value, fmt::format("at least a page, {}", format_bytes(page_size)));
        bytes.reset();
    } else if (*bytes > most_memory) {
        context.error(value, fmt::format("at most {}", format_bytes(most_memory)));
        bytes.reset();
    }
    return bytes;
}

std::optional<UidRange> read_uids(LoadContext& context, const JsonValue& value) {
    const std::string_view text = value.text();
    const std::size_t dash = text.find('-');
    const auto first = decimal(text.substr(0, dash));
    const auto last = dash == text.npos ? first : decimal(text.substr(dash + 1));
    if (value.kind() != JsonKind::string || !first || !last) {
        context.error(value, R"(a uid such as "1000" or a range such as "100000-165535")");
        return std::nullopt;
    }
    if (*first > highest_policy_uid || *last > highest_policy_uid) {
        context.error(value, fmt::format("uids go up to {}", highest_policy_uid));
        return std::nullopt;
    }
    if (*first > *last) {
        context.error(value, "the range's first uid is above its last");
        return std::nullopt;
    }
    return UidRange{static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(*last)};
}

std::optional<std::uint16_t> read_id(LoadContext& context, const JsonValue& value) {
    const std::string_view text = value.text();
    if (value.kind() == JsonKind::string && text.size() == 4 && text.find_first_not_of(hex_digits) == text.npos) {
        std::uint16_t id = 0;
        std::from_chars(text.data(), text.data() + text.size(), id, 16);
        return id;
    }
    const bool prefixed = text.starts_with("0x") || text.starts_with("0X");
    context.error(value, prefixed ? "four hex digits, without 0x" : R"(four lower-case hex digits, such as "8086")");
    return std::nullopt;
}

std::optional<std::size_t> read_choice(LoadContext& context, const JsonValue& value,
                                       const std::vector<std::string>& names) {
    const auto found = std::find(names.begin(), names.end(), value.text());
    if (value.kind() == JsonKind::string && found != names.end()) {
        return static_cast<std::size_t>(found - names.begin());
    }
    std::vector<std::string> in_quotes;
    in_quotes.reserve(names.size());
    for (const std::string& name : names) {
        in_quotes.push_back(quoted(name));
    }
    context.error(value, alternatives(in_quotes));
    return std::nullopt;
}

std::vector<JsonValue> read_list(LoadContext& context, const JsonValue& value, std::string_view entries, Empty empty) {
    std::vector<JsonValue> result;
    if (value.kind() != JsonKind::array) {
        context.error(value, fmt::format("a list of {}, in square brackets", entries));
        return result;
    }
    for (auto entry = value.first_child(); entry; entry = entry->next_in(value)) {
        result.push_back(*entry);
    }
    if (result.empty() && empty == Empty::refused) {
        context.error_at(value, fmt::format("an empty list: at least one of {}", entries));
    }
    return result;
}

}  // namespace iommud::policy
