#include <fmt/format.h>

#include "daemon/base/bounds.hpp"
#include "policy/parse.hpp"

namespace iommud::policy {
namespace {

std::optional<std::string> read_rule_id(LoadContext& context, const JsonValue& value) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const std::string_view text = value.text();
    if (value.kind() != JsonKind::string || text.empty() || text.size() > longest_rule_id ||
        text.find_first_not_of(allowed) != text.npos) {
        context.error(value, fmt::format("a name of at most {} letters, digits, - _ and .", longest_rule_id));
        return std::nullopt;
    }
    return std::string(text);
}

// The form of a UUID, as the kernel's vf_token option takes it.
std::optional<std::string> read_token(LoadContext& context, const JsonValue& value) {
    const std::string_view text = value.text();
    bool fits = value.kind() == JsonKind::string && text.size() == 36;
    for (std::size_t i = 0; fits && i < text.size(); ++i) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        fits = dash ? text[i] == '-' : std::string_view("0123456789abcdef").find(text[i]) != text.npos;
    }
    if (!fits) {
        context.error_at(value, "a lower-case UUID is expected");  // the token is a secret: not repeated in a log
        return std::nullopt;
    }
    return std::string(text);
}

ModeSet read_modes(LoadContext& context, const JsonValue& value) {
    static const std::vector<std::string> names{name_of(Mode::managed), name_of(Mode::direct), name_of(Mode::legacy)};
    ModeSet modes = 0;
    for (const JsonValue& entry : read_list(context, value, "modes")) {
        if (const auto choice = read_choice(context, entry, names)) {
            modes = static_cast<ModeSet>(modes | mode_bit(static_cast<Mode>(*choice)));
        }
    }
    return modes;
}

void read_whom_and_what(LoadContext& context, const ObjectReader& reader, Rule& rule) {
    if (const auto subjects = reader.find("subjects")) {
        for (const JsonValue& subject : read_list(context, *subjects, "subjects")) {
            rule.subjects.push_back(read_subject(context, subject, rule.effect));
        }
    }
    if (const auto devices = reader.find("devices")) {
        for (const JsonValue& device : read_list(context, *devices, "devices")) {
            rule.devices.push_back(read_device(context, device));
        }
    }
}

// What an allow gives. A deny gives nothing, so that these would be misread there.
void read_grants(LoadContext& context, const ObjectReader& reader, Rule& rule) {
    if (rule.effect == Effect::deny) {
        for (const char* key : {"memory", "maps", "allow_no_reset", "allow_uncleared_memory", "vf_token"}) {
            if (const auto value = reader.find(key)) {
                context.error_at(*value, fmt::format("\"{}\" in a deny: it limits what an allow gives", key));
            }
        }
        return;
    }
    if (const auto memory = reader.find("memory")) {
        rule.memory = read_size(context, *memory);
    }
    if (const auto maps = reader.find("maps")) {
        rule.maps = read_count(context, *maps, 1, most_maps);
    }
    if (const auto allow_no_reset = reader.find("allow_no_reset")) {
        rule.allow_no_reset = read_boolean(context, *allow_no_reset).value_or(false);
    }
    if (const auto allow_uncleared = reader.find("allow_uncleared_memory")) {
        rule.allow_uncleared_memory = read_boolean(context, *allow_uncleared).value_or(false);
    }
    if (const auto token = reader.find("vf_token")) {
        rule.vf_token = read_token(context, *token);
    }
}

}  // namespace

std::optional<Rule> read_rule(LoadContext& context, const JsonValue& value) {
    const ObjectReader reader(context, value,
                              {"id", "effect", "subjects", "devices", "modes", "memory", "maps", "allow_no_reset",
                               "allow_uncleared_memory", "vf_token"});
    Rule rule;
    rule.where = context.where(value);
    if (const auto id = reader.require("id")) {
        rule.id = read_rule_id(context, *id).value_or("");
    }
    const auto effect = reader.require("effect");
    const auto choice = effect ? read_choice(context, *effect, {"deny", "allow"}) : std::nullopt;
    if (!choice) {
        // Read the rest as an allow, for its errors only.
        rule.effect = Effect::allow;
        read_whom_and_what(context, reader, rule);
        return std::nullopt;
    }
    rule.effect = static_cast<Effect>(*choice);
    const auto modes = reader.find("modes");
    if (rule.effect == Effect::allow) {
        rule.modes = modes ? read_modes(context, *modes) : mode_bit(Mode::managed);
        static_cast<void>(reader.require("subjects"));
        static_cast<void>(reader.require("devices"));
    } else {
        rule.modes = modes ? read_modes(context, *modes) : all_modes;
        if (!modes && !reader.find("subjects") && !reader.find("devices")) {
            context.error_at(value, R"(a deny of everything to everybody: name "subjects" or "devices")");
        }
    }
    read_whom_and_what(context, reader, rule);
    read_grants(context, reader, rule);
    return rule;
}

}  // namespace iommud::policy
