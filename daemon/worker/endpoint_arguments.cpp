#include "daemon/worker/endpoint_arguments.hpp"

#include <fmt/format.h>

#include <set>

#include "daemon/base/endpoint_bounds.hpp"
#include "daemon/worker/arguments.hpp"
#include "daemon/worker/text.hpp"

namespace iommud::worker {
namespace {

tl::unexpected<Error> invalid(std::string message) {
    return fail(ErrorCode::invalid_argument, std::move(message));
}

tl::unexpected<Error> unreadable(int result) {
    return invalid(errno_message("the call's arguments cannot be read", -result));
}

template <class Value>
Result<void> read_basic(sd_bus_message* call, char type, Value& value) {
    const int result = sd_bus_message_read_basic(call, type, &value);
    return result <= 0 ? Result<void>(unreadable(result)) : Result<void>();
}

// What is longer would not fit into a frame, either.
Result<std::string> read_short(sd_bus_message* call, std::string_view what, std::size_t longest) {
    auto text = read_string(call, SD_BUS_TYPE_STRING);
    if (text) {
        if (const auto checked = check_text(what, *text, longest); !checked) {
            return tl::unexpected(checked.error());
        }
    }
    return text;
}

Result<void> read_annotations(sd_bus_message* call, std::map<std::string, std::string>& annotations) {
    int result = sd_bus_message_enter_container(call, SD_BUS_TYPE_ARRAY, "{ss}");
    while (result >= 0 && (result = sd_bus_message_enter_container(call, SD_BUS_TYPE_DICT_ENTRY, "ss")) > 0) {
        auto key = read_short(call, "an annotation's key", longest_annotation_key);
        auto value = key ? read_short(call, "an annotation", longest_annotation_value) : key;
        if (!value) {
            return tl::unexpected(value.error());
        }
        if (annotations.size() == most_annotations || !annotations.emplace(*key, std::move(*value)).second) {
            return invalid(fmt::format("more than {} annotations, or {} twice", most_annotations, in_quotes(*key)));
        }
        result = sd_bus_message_exit_container(call);
    }
    result = result < 0 ? result : sd_bus_message_exit_container(call);
    return result < 0 ? Result<void>(unreadable(result)) : Result<void>();
}

// Enters each entry of an a{sv} once; `read` takes the value of a known key, in the variant, or says that it is none.
template <class Read>
Result<void> for_each_option(sd_bus_message* call, std::initializer_list<std::pair<const char*, const char*>> known,
                             Read read) {
    std::set<std::string> seen;
    int result = sd_bus_message_enter_container(call, SD_BUS_TYPE_ARRAY, "{sv}");
    while (result >= 0 && (result = sd_bus_message_enter_container(call, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
        const auto key = read_string(call, SD_BUS_TYPE_STRING);
        if (!key) {
            return tl::unexpected(key.error());
        }
        const char* signature = nullptr;
        for (const auto& [name, type] : known) {
            signature = *key == name ? type : signature;
        }
        if (signature == nullptr || !seen.insert(*key).second) {
            return invalid(fmt::format("option {} is not known, or is given twice", in_quotes(*key)));
        }
        if (sd_bus_message_enter_container(call, SD_BUS_TYPE_VARIANT, signature) <= 0) {
            return invalid(fmt::format("option {} is of another type than '{}'", in_quotes(*key), signature));
        }
        if (Result<void> value = read(*key); !value) {
            return value;
        }
        result = sd_bus_message_exit_container(call);
        result = result < 0 ? result : sd_bus_message_exit_container(call);
    }
    result = result < 0 ? result : sd_bus_message_exit_container(call);
    return result < 0 ? Result<void>(unreadable(result)) : Result<void>();
}

}  // namespace

Result<ipc::OpenEndpointRequest> read_open_endpoint(sd_bus_message* call) {
    ipc::OpenEndpointRequest request;
    auto id = read_short(call, "the endpoint's id", longest_endpoint_id);
    if (!id) {
        return tl::unexpected(id.error());
    }
    request.id = std::move(*id);
    bool has_pid = false;
    bool has_uid = false;
    const auto read = [&request, &has_pid, &has_uid, call](const std::string& key) -> Result<void> {
        if (key == "pid") {
            has_pid = true;
            return read_basic(call, SD_BUS_TYPE_UINT32, request.pid);
        }
        if (key == "uid") {
            has_uid = true;
            return read_basic(call, SD_BUS_TYPE_UINT32, request.owner);
        }
        if (key == "memory") {
            return read_basic(call, SD_BUS_TYPE_UINT64, request.memory.emplace());
        }
        if (key == "annotations") {
            return read_annotations(call, request.annotations);
        }
        auto devices = read_addresses(call);
        if (!devices) {
            return tl::unexpected(devices.error());
        }
        request.devices = std::move(*devices);
        return {};
    };
    const auto options = for_each_option(
        call, {{"pid", "u"}, {"uid", "u"}, {"devices", "as"}, {"memory", "t"}, {"annotations", "a{ss}"}}, read);
    if (!options) {
        return tl::unexpected(options.error());
    }
    if (!has_pid || !has_uid) {
        return invalid("the options 'pid' and 'uid' are required");
    }
    return request;
}

Result<ipc::CloseEndpointRequest> read_close_endpoint(sd_bus_message* call) {
    ipc::CloseEndpointRequest request;
    auto id = read_short(call, "the endpoint's id", longest_endpoint_id);
    if (!id) {
        return tl::unexpected(id.error());
    }
    request.id = std::move(*id);
    const auto read = [&request, call](const std::string& key) -> Result<void> {
        int value = 0;
        Result<void> flag = read_basic(call, SD_BUS_TYPE_BOOLEAN, value);
        (key == "own" ? request.own : request.if_ended) = value != 0;
        return flag;
    };
    if (const auto options = for_each_option(call, {{"if-ended", "b"}, {"own", "b"}}, read); !options) {
        return tl::unexpected(options.error());
    }
    return request;
}

}  // namespace iommud::worker
