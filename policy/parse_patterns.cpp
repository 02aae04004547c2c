#include <fmt/format.h>

#include <array>
#include <charconv>

#include "daemon/base/endpoint_bounds.hpp"
#include "daemon/base/pci_path.hpp"
#include "daemon/base/serial_number.hpp"
#include "policy/parse.hpp"

namespace iommud::policy {
namespace {

void append_part(std::string& text, std::string_view key, const JsonValue& value) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", key, value.text());
}

constexpr std::array<std::string_view, 9> unit_suffixes{".service", ".scope", ".slice",  ".socket", ".target",
                                                        ".timer",   ".mount", ".device", ".path"};

// The daemon compares the outermost service or scope (DESIGN §7): no other unit ever matches.
std::optional<std::string> read_unit(LoadContext& context, const JsonValue& value) {
    constexpr std::string_view expected = R"(a service or scope, such as "router.service")";
    auto unit = read_string(context, value, expected);
    if (!unit) {
        return std::nullopt;
    }
    if (unit->find_first_of("*?[/ ") != std::string::npos) {
        context.error(value, "a unit's whole name, without pattern or path");
        return std::nullopt;
    }
    if (!unit->ends_with(".service") && !unit->ends_with(".scope")) {
        for (const std::string_view suffix : unit_suffixes) {
            if (unit->ends_with(suffix)) {
                context.error(value, "processes are in services and scopes only");
                return std::nullopt;
            }
        }
        context.error(value, expected);
        return std::nullopt;
    }
    return unit;
}

std::optional<EndpointPattern> read_endpoint(LoadContext& context, const JsonValue& value) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    std::string_view id = value.text();
    const bool prefix = id.ends_with('*');
    id.remove_suffix(prefix ? 1 : 0);
    if (value.kind() != JsonKind::string || (id.empty() && !prefix) || id.size() > longest_endpoint_id ||
        id.starts_with('.') || id.find_first_not_of(allowed) != id.npos) {
        context.error(value, R"(a container's id, the beginning of one such as "web-*", or "*" for every container)");
        return std::nullopt;
    }
    return EndpointPattern{std::string(id), prefix};
}

std::optional<AnnotationPattern> read_annotation(LoadContext& context, const JsonValue& value) {
    constexpr std::string_view expected = R"(an annotation, such as "org.example.team=storage")";
    const auto text = read_string(context, value, expected);
    const std::size_t equals = text ? text->find('=') : std::string::npos;
    if (!text) {
        return std::nullopt;
    }
    if (equals == std::string::npos || equals == 0) {
        context.error(value, expected);
        return std::nullopt;
    }
    return AnnotationPattern{text->substr(0, equals), text->substr(equals + 1)};
}

// Whoever makes a container gives it its annotations: alone they would let everybody in, and a deny would keep nobody
// out.
void check_annotation(LoadContext& context, const JsonValue& value, const SubjectPattern& pattern, Effect effect) {
    if (effect == Effect::deny) {
        context.error_at(value, R"("annotation" in a deny: whoever makes the container would leave it out)");
    } else if (!pattern.user && !pattern.uids && !pattern.group && !pattern.unit && !pattern.nobody &&
               (!pattern.endpoint || pattern.endpoint->every())) {
        context.error_at(value, R"("annotation" alone: whoever makes the container chooses it; it may only narrow)"
                                R"( "user", "uids", "group", "unit" or an "endpoint" other than "*")");
    } else if (!pattern.endpoint) {
        context.warning_at(value,
                           R"("annotation" without "endpoint": no process of the host has one, and a rule is for)"
                           R"( containers only where it names an "endpoint": this never matches)");
    }
}

std::optional<AddressGlob> read_address(LoadContext& context, const JsonValue& value) {
    constexpr std::string_view expected = R"(an address such as "0000:81:00.0" or, with * and ?, "0000:81:*")";
    AddressGlob::Fault fault = AddressGlob::Fault::characters;
    auto glob = value.kind() == JsonKind::string ? AddressGlob::parse(value.text(), fault) : std::nullopt;
    if (!glob && fault == AddressGlob::Fault::characters) {
        context.error(value, expected);
    } else if (!glob) {
        context.error(value, R"(no address looks so; they are like "0000:81:00.0", domain first, in lower case)");
    }
    return glob;
}

// From the root bus down: "00:1c.4/00.0". The domain may be left out where it is 0000, and is, in the facts.
std::optional<std::string> read_path(LoadContext& context, const JsonValue& value) {
    constexpr std::string_view expected =
        R"(a path such as "00:1c.4/00.0": the port's bus, slot and function, then each slot and function below it)";
    const auto text = read_string(context, value, expected);
    if (!text) {
        return std::nullopt;
    }
    auto path = parse_pci_path(*text);
    if (!path) {
        context.error(value, expected);
    }
    return path;
}

std::optional<std::string> read_serial(LoadContext& context, const JsonValue& value) {
    constexpr std::string_view expected =
        R"(a serial number such as "52-54-00-ff-ff-12-34-56": eight bytes in lower case, as lspci -v writes it)";
    auto text = read_string(context, value, expected);
    if (text && !is_serial_number(*text)) {
        context.error(value, expected);
        return std::nullopt;
    }
    return text;
}

// "02", "0200" or "020000": base class, subclass, programming interface.
void read_class(LoadContext& context, const JsonValue& value, DevicePattern& pattern) {
    const std::string_view text = value.text();
    const bool fits = text.size() == 2 || text.size() == 4 || text.size() == 6;
    if (value.kind() != JsonKind::string || !fits || text.find_first_not_of("0123456789abcdef") != text.npos) {
        context.error(value, text.starts_with("0x") || text.starts_with("0X")
                                 ? "two, four or six hex digits, without 0x"
                                 : R"(two, four or six lower-case hex digits, such as "0200")");
        return;
    }
    std::uint32_t code = 0;
    std::from_chars(text.data(), text.data() + text.size(), code, 16);
    const unsigned shift = static_cast<unsigned>(6 - text.size()) * 4;
    pattern.class_code = code << shift;
    pattern.class_mask = (0xffffffU << shift) & 0xffffffU;
}

}  // namespace

SubjectPattern read_subject(LoadContext& context, const JsonValue& value, Effect effect) {
    const ObjectReader reader(context, value, {"user", "uids", "group", "unit", "endpoint", "annotation"});
    // A deny for somebody who does not exist is most likely a misspelt one: it would deny nothing.
    const Unknown unknown = effect == Effect::deny ? Unknown::error : Unknown::warning;
    SubjectPattern pattern;
    if (const auto user = reader.find("user")) {
        pattern.user = read_user(context, *user, unknown, pattern.nobody);
        append_part(pattern.text, "user", *user);
    }
    if (const auto uids = reader.find("uids")) {
        pattern.uids = read_uids(context, *uids);
        append_part(pattern.text, "uids", *uids);
    }
    if (const auto group = reader.find("group")) {
        pattern.group = read_group(context, *group, unknown, pattern.nobody);
        append_part(pattern.text, "group", *group);
    }
    if (const auto unit = reader.find("unit")) {
        pattern.unit = read_unit(context, *unit);
        append_part(pattern.text, "unit", *unit);
    }
    if (const auto endpoint = reader.find("endpoint")) {
        pattern.endpoint = read_endpoint(context, *endpoint);
        append_part(pattern.text, "endpoint", *endpoint);
    }
    if (const auto annotation = reader.find("annotation")) {
        pattern.annotation = read_annotation(context, *annotation);
        append_part(pattern.text, "annotation", *annotation);
        check_annotation(context, *annotation, pattern, effect);
    }
    if (reader.is_object() && !value.first_child()) {
        context.error_at(value, R"(an empty subject: at least one of "user", "uids", "group", "unit" and "endpoint")");
    }
    return pattern;
}

DevicePattern read_device(LoadContext& context, const JsonValue& value) {
    const ObjectReader reader(context, value,
                              {"address", "vendor", "device", "subsystem_vendor", "subsystem_device", "class",
                               "iommu_group", "path", "slot", "driver", "serial"});
    DevicePattern pattern;
    if (const auto address = reader.find("address")) {
        pattern.address = read_address(context, *address);
        append_part(pattern.text, "address", *address);
    }
    const std::pair<const char*, std::optional<std::uint16_t>&> ids[] = {
        {"vendor", pattern.vendor},
        {"device", pattern.device},
        {"subsystem_vendor", pattern.subsystem_vendor},
        {"subsystem_device", pattern.subsystem_device}};
    for (const auto& [key, id] : ids) {
        if (const auto written = reader.find(key)) {
            id = read_id(context, *written);
            append_part(pattern.text, key, *written);
        }
    }
    if (const auto class_code = reader.find("class")) {
        read_class(context, *class_code, pattern);
        append_part(pattern.text, "class", *class_code);
    }
    if (const auto group = reader.find("iommu_group")) {
        const auto number = read_count(context, *group, 0, 0x7fffffff);
        pattern.iommu_group = number ? std::optional(static_cast<int>(*number)) : std::nullopt;
        append_part(pattern.text, "iommu_group", *group);
    }
    if (const auto path = reader.find("path")) {
        pattern.path = read_path(context, *path);
        append_part(pattern.text, "path", *path);
    }
    if (const auto slot = reader.find("slot")) {
        pattern.slot = read_string(context, *slot, R"(the name of a slot, as "iommuctl device show" gives it)");
        append_part(pattern.text, "slot", *slot);
    }
    if (const auto driver = reader.find("driver")) {
        pattern.driver = read_string(context, *driver, R"(the name of a driver, such as "vfio-pci")");
        append_part(pattern.text, "driver", *driver);
    }
    if (const auto serial = reader.find("serial")) {
        pattern.serial = read_serial(context, *serial);
        append_part(pattern.text, "serial", *serial);
    }
    if (reader.is_object() && !value.first_child()) {
        context.error_at(value, R"(an empty device: it would be every device; write {"address": "*"} for that)");
    }
    if (const auto device = reader.find("device"); device && !reader.find("vendor")) {
        context.error_at(*device, R"("device" without "vendor": device ids are each vendor's own)");
    }
    if (const auto device = reader.find("subsystem_device"); device && !reader.find("subsystem_vendor")) {
        context.error_at(*device, R"("subsystem_device" without "subsystem_vendor": they are each vendor's own)");
    }
    return pattern;
}

}  // namespace iommud::policy
