#include "client/iommuctl/values.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "daemon/base/bytes.hpp"

namespace iommud::ctl {
namespace {

using lib::message_failed;

constexpr const char* reading = "read the daemon's answer";
constexpr int deepest = 16;

template <class Value>
Outcome<json> read_basic(sd_bus_message* message, char type) {
    Value value{};
    const int result = sd_bus_message_read_basic(message, type, &value);
    if (result < 0) {
        return message_failed(reading, result);
    }
    return json(value);
}

Outcome<json> read_at(sd_bus_message* message, int depth);

Outcome<json> read_items(sd_bus_message* message, char type, const char* contents, int depth) {
    int result = sd_bus_message_enter_container(message, type, contents);
    json items = json::array();
    while (result >= 0 && (result = sd_bus_message_at_end(message, 0)) == 0) {
        auto item = read_at(message, depth + 1);
        if (!item) {
            return item;
        }
        items.push_back(std::move(*item));
    }
    if (result < 0 || (result = sd_bus_message_exit_container(message)) < 0) {
        return message_failed(reading, result);
    }
    return items;
}

// Keys that are no strings are written as JSON writes them.
Outcome<json> read_dictionary(sd_bus_message* message, const char* entry, int depth) {
    const std::string contents(entry + 1, std::char_traits<char>::length(entry) - 2);
    int result = sd_bus_message_enter_container(message, 'a', entry);
    json object = json::object();
    while (result >= 0 && (result = sd_bus_message_enter_container(message, 'e', contents.c_str())) > 0) {
        auto key = read_at(message, depth + 1);
        auto value = key ? read_at(message, depth + 1) : key;
        if (!value) {
            return value;
        }
        object[key->is_string() ? key->get<std::string>() : key->dump()] = std::move(*value);
        result = sd_bus_message_exit_container(message);
    }
    if (result < 0 || (result = sd_bus_message_exit_container(message)) < 0) {
        return message_failed(reading, result);
    }
    return object;
}

Outcome<json> read_variant(sd_bus_message* message, const char* contents, int depth) {
    int result = sd_bus_message_enter_container(message, 'v', contents);
    if (result < 0) {
        return message_failed(reading, result);
    }
    auto value = read_at(message, depth + 1);
    if (value && (result = sd_bus_message_exit_container(message)) < 0) {
        return message_failed(reading, result);
    }
    return value;
}

Outcome<json> read_at(sd_bus_message* message, int depth) {
    char type = 0;
    const char* contents = nullptr;
    const int result = sd_bus_message_peek_type(message, &type, &contents);
    if (result <= 0 || depth > deepest) {
        return message_failed(reading, result < 0 ? result : -EBADMSG);
    }
    switch (type) {
        case 's':
        case 'o':
        case 'g':
            return read_basic<const char*>(message, type);
        case 'b': {
            auto flag = read_basic<int>(message, type);
            return flag ? Outcome<json>(flag->get<int>() != 0) : flag;
        }
        case 'y':
            return read_basic<std::uint8_t>(message, type);
        case 'n':
            return read_basic<std::int16_t>(message, type);
        case 'q':
            return read_basic<std::uint16_t>(message, type);
        case 'i':
            return read_basic<std::int32_t>(message, type);
        case 'u':
            return read_basic<std::uint32_t>(message, type);
        case 'x':
            return read_basic<std::int64_t>(message, type);
        case 't':
            return read_basic<std::uint64_t>(message, type);
        case 'd':
            return read_basic<double>(message, type);
        case 'a':
            return *contents == '{' ? read_dictionary(message, contents, depth)
                                    : read_items(message, type, contents, depth);
        case 'r':
            return read_items(message, type, contents, depth);
        case 'v':
            return read_variant(message, contents, depth);
        default:  // a character of a D-Bus signature, not an enumeration
            return message_failed(reading, -EBADMSG);
    }
}

const json* member(const json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found == object.end() ? nullptr : &*found;
}

}  // namespace

Outcome<json> read_value(sd_bus_message* message) {
    return read_at(message, 0);
}

std::string text_of(const json& object, const char* key) {
    const json* value = member(object, key);
    return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

std::string number_of(const json& object, const char* key) {
    const json* value = member(object, key);
    return value != nullptr && value->is_number() ? value->dump() : "";
}

std::string size_of(const json& object, const char* key) {
    const json* value = member(object, key);
    return value != nullptr && value->is_number_unsigned() ? format_bytes(value->get<std::uint64_t>()) : "";
}

std::string list_of(const json& object, const char* key) {
    std::string list;
    const json* value = member(object, key);
    if (value == nullptr || !value->is_array()) {
        return list;
    }
    for (const json& item : *value) {
        list += (list.empty() ? "" : ", ") + (item.is_string() ? item.get<std::string>() : item.dump());
    }
    return list;
}

}  // namespace iommud::ctl
