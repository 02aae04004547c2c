#include "client/oci-hook/container.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "daemon/base/bounds.hpp"
#include "daemon/base/bytes.hpp"
#include "daemon/base/endpoint_bounds.hpp"

namespace iommud::hook {
namespace {

using nlohmann::json;

constexpr int deepest = 64;
constexpr std::string_view devices_key = "org.iommud.devices";
constexpr std::string_view memory_key = "org.iommud.memory";
constexpr std::string_view mode_key = "org.iommud.mode";
constexpr std::string_view all_devices = "all";

tl::unexpected<Error> invalid(std::string message) {
    return fail(ErrorCode::invalid_argument, std::move(message));
}

// A document with one meaning: a key that is there twice would be one thing to the runtime and another to us.
Result<json> parse(std::string_view text, const char* what) {
    if (text.size() > most_json) {
        return invalid(fmt::format("{} has {} bytes, at most {} are read", what, text.size(), most_json));
    }
    std::vector<std::set<std::string>> keys;
    std::string fault;
    const auto look = [&keys, &fault](int depth, json::parse_event_t event, json& parsed) {
        if (depth > deepest) {
            fault = "nested too deep";
        } else if (event == json::parse_event_t::object_start) {
            keys.emplace_back();
        } else if (event == json::parse_event_t::object_end) {
            keys.pop_back();
        } else if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
            fault = "a key is given twice";
        }
        return fault.empty();
    };
    json document = json::parse(text, look, false);
    if (fault.empty() && (document.is_discarded() || !document.is_object())) {
        fault = "not a JSON object";
    }
    return fault.empty() ? Result<json>(std::move(document)) : invalid(fmt::format("{}: {}", what, fault));
}

// The member, or null where there is none or `from` is no object.
const json& member(const json& from, const char* key) {
    static const json nothing;
    if (!from.is_object()) {
        return nothing;
    }
    const auto found = from.find(key);
    return found == from.end() ? nothing : *found;
}

std::string text_of(const json& value) {
    return value.is_string() ? value.get<std::string>() : std::string();
}

std::vector<std::string> texts_of(const json& list) {
    std::vector<std::string> texts;
    if (list.is_array()) {
        for (const json& value : list) {
            texts.push_back(text_of(value));
        }
    }
    return texts;
}

std::map<std::string, std::string> annotations_of(const json& from) {
    std::map<std::string, std::string> annotations;
    const json& written = member(from, "annotations");
    if (written.is_object()) {
        for (const auto& [key, value] : written.items()) {
            annotations.emplace(key, text_of(value));
        }
    }
    return annotations;
}

// config.json is what the container is made of; not every runtime repeats it in the state, or the other way round.
std::map<std::string, std::string> all_annotations(const State& state, const Config& config) {
    std::map<std::string, std::string> all = config.annotations;
    all.insert(state.annotations.begin(), state.annotations.end());
    return all;
}

Result<void> add_device(std::string_view text, std::vector<PciAddress>& devices) {
    const auto address = PciAddress::parse_name(text);
    if (!address) {
        return invalid(fmt::format("\"{}\" {}", text.substr(0, 40), why_no_address(text)));
    }
    if (std::find(devices.begin(), devices.end(), *address) == devices.end()) {
        devices.push_back(*address);
    }
    if (devices.size() > most_lease_devices) {
        return invalid(fmt::format("more than {} devices are asked for", most_lease_devices));
    }
    return {};
}

Result<void> add_devices(std::string_view list, std::vector<PciAddress>& devices) {
    while (true) {
        const std::size_t comma = std::min(list.find(','), list.size());
        if (auto added = add_device(list.substr(0, comma), devices); !added) {
            return added;
        }
        if (comma == list.size()) {
            return {};
        }
        list.remove_prefix(comma + 1);
    }
}

// Those of "iommud-oci-hook device ADDRESS".
std::vector<std::string> named_by_hooks(const json& hooks) {
    std::vector<std::string> devices;
    for (std::size_t i = 0; hooks.is_array() && i < hooks.size(); ++i) {
        std::vector<std::string> words = texts_of(member(hooks[i], "args"));
        if (words.size() == 3 && words[1] == device_stage) {
            devices.push_back(std::move(words[2]));
        }
    }
    return devices;
}

}  // namespace

Result<State> parse_state(std::string_view text) {
    const Result<json> document = parse(text, "the container's state");
    if (!document) {
        return tl::unexpected(document.error());
    }
    State state{.id = text_of(member(*document, "id")),
                .status = text_of(member(*document, "status")),
                .pid = 0,
                .bundle = text_of(member(*document, "bundle")),
                .annotations = annotations_of(*document)};
    const json& pid = member(*document, "pid");
    state.pid = pid.is_number_integer() ? pid.get<std::int64_t>() : 0;
    if (!valid_endpoint_id(state.id)) {
        return invalid("the container's state: no id, or one that iommud does not take");
    }
    return state;
}

Result<Config> parse_config(std::string_view text) {
    const Result<json> document = parse(text, "config.json");
    if (!document) {
        return tl::unexpected(document.error());
    }
    Config config{.root = text_of(member(member(*document, "root"), "path")),
                  .annotations = annotations_of(*document),
                  .cdi_devices = named_by_hooks(member(member(*document, "hooks"), "createRuntime")),
                  .mount_points = {}};
    const json& mounts = member(*document, "mounts");
    for (std::size_t i = 0; mounts.is_array() && i < mounts.size(); ++i) {
        config.mount_points.push_back(text_of(member(mounts[i], "destination")));
    }
    return config;
}

Result<std::optional<Wish>> read_wish(const State& state, const Config& config, bool cdi) {
    const std::map<std::string, std::string> annotations = all_annotations(state, config);
    const auto annotation = [&annotations](std::string_view key) -> std::optional<std::string> {
        const auto found = annotations.find(std::string(key));
        return found == annotations.end() ? std::nullopt : std::optional(found->second);
    };
    Wish wish;
    bool any = false;
    bool all = false;
    const auto add = [&wish, &any, &all](const std::string& text) -> Result<void> {
        any = true;
        all = all || text == all_devices;
        return text == all_devices ? Result<void>() : add_devices(text, wish.devices);
    };
    if (const auto devices = annotation(devices_key)) {
        if (const auto added = add(*devices); !added) {
            return invalid(fmt::format("{}: {}", devices_key, added.error().message));
        }
    }
    for (std::size_t i = 0; cdi && i < config.cdi_devices.size(); ++i) {
        if (const auto added = add(config.cdi_devices[i]); !added) {
            return tl::unexpected(added.error());
        }
    }
    const auto memory = annotation(memory_key);
    const auto mode = annotation(mode_key);
    if (!any) {
        if (cdi || memory || mode) {
            return invalid(fmt::format("the container asks for no device: {} is missing", devices_key));
        }
        return std::nullopt;
    }
    if (all) {
        wish.devices.clear();
    }
    if (memory) {
        wish.memory = parse_bytes(*memory);
        if (!wish.memory || *wish.memory < page_size) {
            return invalid(
                fmt::format("{}: \"{}\" is no size; one looks like 64MiB", memory_key, memory->substr(0, 32)));
        }
    }
    if (mode && *mode != "managed") {
        return invalid(fmt::format("{}: \"{}\": containers get managed leases only", mode_key, mode->substr(0, 32)));
    }
    return wish;
}

std::map<std::string, std::string> annotations_to_tell(const State& state, const Config& config) {
    std::map<std::string, std::string> told;
    std::size_t bytes = 0;
    for (const auto& [key, value] : all_annotations(state, config)) {
        bytes += valid_annotation(key, value) ? annotation_bytes(key, value) : 0;
        if (bytes > most_annotation_bytes || told.size() == most_annotations) {
            break;
        }
        if (valid_annotation(key, value)) {
            told.emplace(key, value);
        }
    }
    return told;
}

std::optional<std::uint32_t> root_on_host(std::string_view map) {
    while (!map.empty()) {
        const std::size_t end_of_line = std::min(map.find('\n'), map.size());
        std::string_view line = map.substr(0, end_of_line);
        map.remove_prefix(std::min(map.size(), end_of_line + 1));
        std::uint32_t numbers[2]{};
        bool read = true;
        for (std::uint32_t& number : numbers) {
            line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
            const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
            read = read && error == std::errc{};
            line.remove_prefix(static_cast<std::size_t>(end - line.data()));
        }
        if (read && numbers[0] == 0) {
            return numbers[1];
        }
    }
    return std::nullopt;
}

}  // namespace iommud::hook
