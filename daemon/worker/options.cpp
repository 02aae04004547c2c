#include "daemon/worker/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "daemon/base/uuid.hpp"
#include "daemon/worker/names.hpp"
#include "daemon/worker/text.hpp"

namespace iommud::worker {
namespace {

tl::unexpected<Error> invalid(std::string message) {
    return fail(ErrorCode::invalid_argument, std::move(message));
}

const char* signature_of(const Option& option) {
    if (const auto* other = std::get_if<OtherType>(&option.value)) {
        return other->signature.c_str();
    }
    return std::holds_alternative<std::string>(option.value) ? "s" : "t";
}

template <class Value>
Result<Value> value_of(const Option& option, const char* expected) {
    if (const auto* value = std::get_if<Value>(&option.value)) {
        return *value;
    }
    return invalid(fmt::format("option {} is of type {}, expected '{}'", in_quotes(option.key),
                               in_quotes(signature_of(option)), expected));
}

Result<Mode> parse_mode(const Option& option) {
    const auto name = value_of<std::string>(option, "s");
    if (!name) {
        return tl::unexpected(name.error());
    }
    for (const Mode mode : {Mode::managed, Mode::direct, Mode::legacy}) {
        if (*name == name_of(mode)) {
            return mode;
        }
    }
    return invalid(fmt::format("option 'mode' is {}, expected 'managed', 'direct' or 'legacy'", in_quotes(*name)));
}

Result<std::uint64_t> parse_memory(const Option& option) {
    auto bytes = value_of<std::uint64_t>(option, "t");
    if (bytes && *bytes > most_memory) {
        return invalid(fmt::format("option 'memory' asks for {} bytes, at most {} are possible", *bytes, most_memory));
    }
    return bytes;
}

Result<std::string> parse_label(const Option& option) {
    auto label = value_of<std::string>(option, "s");
    if (!label) {
        return label;
    }
    if (const auto checked = check_text("option 'label'", *label, longest_text); !checked) {
        return tl::unexpected(checked.error());
    }
    return label;
}

Result<std::string> parse_vf_token(const Option& option) {
    auto token = value_of<std::string>(option, "s");
    if (token && !parse_uuid(*token)) {
        return invalid("option 'vf_token' is no lower-case UUID");  // a secret: not repeated
    }
    return token;
}

Result<void> check_keys(std::span<const Option> options, std::initializer_list<std::string_view> known) {
    for (std::size_t i = 0; i < options.size(); ++i) {
        const std::string& key = options[i].key;
        if (std::find(known.begin(), known.end(), key) == known.end()) {
            return invalid(fmt::format("unknown option {}; known: {}", in_quotes(key),
                                       known.size() == 0 ? "none" : fmt::format("{}", fmt::join(known, ", "))));
        }
        for (std::size_t before = 0; before < i; ++before) {
            if (options[before].key == key) {
                return invalid(fmt::format("option {} is given twice", in_quotes(key)));
            }
        }
    }
    return {};
}

template <class Value>
Result<void> assign(Result<Value> from, auto& to) {
    if (!from) {
        return tl::unexpected(std::move(from.error()));
    }
    to = std::move(*from);
    return {};
}

Result<AcquireOptions> parse_request(std::span<const Option> options, std::initializer_list<std::string_view> known) {
    if (const auto checked = check_keys(options, known); !checked) {
        return tl::unexpected(checked.error());
    }
    AcquireOptions parsed;
    for (const Option& option : options) {
        const Result<void> read = option.key == "mode"     ? assign(parse_mode(option), parsed.mode)
                                  : option.key == "memory" ? assign(parse_memory(option), parsed.memory)
                                  : option.key == "label"  ? assign(parse_label(option), parsed.label)
                                                           : assign(parse_vf_token(option), parsed.vf_token);
        if (!read) {
            return tl::unexpected(read.error());
        }
    }
    return parsed;
}

bool is_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

constexpr std::uint32_t most_uid = std::numeric_limits<std::int32_t>::max();

bool is_uid(std::string_view digits) {
    std::uint32_t uid = 0;
    return std::from_chars(digits.data(), digits.data() + digits.size(), uid).ec == std::errc{} && uid <= most_uid;
}

}  // namespace

Result<AcquireOptions> parse_acquire_options(std::span<const Option> options) {
    return parse_request(options, {"mode", "memory", "label", "vf_token"});
}

Result<AcquireOptions> parse_explain_options(std::span<const Option> options) {
    return parse_request(options, {"mode", "memory"});
}

Result<std::optional<std::string>> parse_subject(std::span<const Option> options) {
    if (const auto checked = check_keys(options, {"user"}); !checked) {
        return tl::unexpected(checked.error());
    }
    if (options.empty()) {
        return std::optional<std::string>();
    }
    auto user = value_of<std::string>(options.front(), "s");
    if (!user) {
        return tl::unexpected(user.error());
    }
    if (const auto checked = check_text("option 'user'", *user, longest_text); !checked) {
        return tl::unexpected(checked.error());
    }
    if (user->empty() || (is_number(*user) && !is_uid(*user))) {
        return invalid(fmt::format("option 'user' is {}, expected a user's name or a uid from 0 to {}",
                                   in_quotes(*user), most_uid));
    }
    return std::optional<std::string>(std::move(*user));
}

Result<void> parse_no_options(std::span<const Option> options) {
    return check_keys(options, {});
}

Result<std::vector<PciAddress>> parse_addresses(std::span<const std::string> texts) {
    if (texts.empty()) {
        return invalid("no device was asked for");
    }
    if (texts.size() > most_lease_devices) {
        return invalid(too_many_devices(texts.size()));
    }
    std::vector<PciAddress> addresses;
    addresses.reserve(texts.size());
    for (const std::string& text : texts) {
        const auto address = PciAddress::parse_name(text);
        if (!address) {
            return invalid(fmt::format("{} {}", in_quotes(text), why_no_address(text)));
        }
        if (std::find(addresses.begin(), addresses.end(), *address) != addresses.end()) {
            return invalid(fmt::format("device {} is asked for twice", in_quotes(text)));
        }
        addresses.push_back(*address);
    }
    return addresses;
}

std::string too_many_devices(std::size_t count) {
    return fmt::format("{} devices were asked for, at most {} in one request are allowed", count, most_lease_devices);
}

Result<void> check_text(std::string_view what, std::string_view text, std::size_t most) {
    if (text.size() > most) {
        return invalid(
            fmt::format("{} has {} bytes, at most {} are allowed: {}", what, text.size(), most, in_quotes(text)));
    }
    const auto control = [](char character) {
        const auto byte = static_cast<unsigned char>(character);
        return byte < 0x20 || byte == 0x7f;
    };
    if (std::any_of(text.begin(), text.end(), control)) {
        return invalid(fmt::format("{} has control characters: {}", what, in_quotes(text)));
    }
    return {};
}

std::optional<LeaseId> lease_id_of(std::string_view path) {
    constexpr std::string_view before = lease_prefix_slash;
    if (!path.starts_with(before)) {
        return std::nullopt;
    }
    const std::string_view digits = path.substr(before.size());
    LeaseId lease = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), lease);
    const bool whole = error == std::errc{} && end == digits.data() + digits.size();
    // One lease has one path: "017" is none.
    return is_number(digits) && whole && lease != 0 && digits.front() != '0' ? std::optional(lease) : std::nullopt;
}

}  // namespace iommud::worker
