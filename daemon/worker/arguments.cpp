#include "daemon/worker/arguments.hpp"

#include <fmt/format.h>

#include "daemon/worker/text.hpp"

namespace iommud::worker {
namespace {

tl::unexpected<Error> unreadable(int result) {
    return fail(ErrorCode::invalid_argument, errno_message("the call's arguments cannot be read", -result));
}

// The value of a variant of one of our types; of any other only its signature.
Result<Option> read_variant(sd_bus_message* call, std::string key) {
    const char* contents = nullptr;
    int result = sd_bus_message_peek_type(call, nullptr, &contents);
    if (result < 0 || contents == nullptr) {
        return unreadable(result);
    }
    const std::string signature = contents;
    if (signature != "s" && signature != "t") {
        result = sd_bus_message_skip(call, "v");
        return result < 0 ? Result<Option>(unreadable(result)) : Option{std::move(key), OtherType{signature}};
    }
    result = sd_bus_message_enter_container(call, SD_BUS_TYPE_VARIANT, signature.c_str());
    if (result < 0) {
        return unreadable(result);
    }
    Option option{std::move(key), std::string()};
    if (signature == "s") {
        auto text = read_string(call, SD_BUS_TYPE_STRING);
        if (!text) {
            return tl::unexpected(text.error());
        }
        option.value = std::move(*text);
    } else {
        const auto number = read_number(call);
        if (!number) {
            return tl::unexpected(number.error());
        }
        option.value = *number;
    }
    result = sd_bus_message_exit_container(call);
    return result < 0 ? Result<Option>(unreadable(result)) : option;
}

}  // namespace

Result<std::vector<Option>> read_options(sd_bus_message* call) {
    int result = sd_bus_message_enter_container(call, SD_BUS_TYPE_ARRAY, "{sv}");
    if (result < 0) {
        return unreadable(result);
    }
    std::vector<Option> options;
    while ((result = sd_bus_message_enter_container(call, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
        if (options.size() == most_options) {
            return fail(ErrorCode::invalid_argument,
                        fmt::format("more than {} options are given; no method has as many", most_options));
        }
        auto key = read_string(call, SD_BUS_TYPE_STRING);
        if (!key) {
            return tl::unexpected(key.error());
        }
        auto option = read_variant(call, std::move(*key));
        if (!option) {
            return tl::unexpected(option.error());
        }
        options.push_back(std::move(*option));
        if (result = sd_bus_message_exit_container(call); result < 0) {
            return unreadable(result);
        }
    }
    if (result < 0) {
        return unreadable(result);
    }
    result = sd_bus_message_exit_container(call);
    return result < 0 ? Result<std::vector<Option>>(unreadable(result)) : options;
}

Result<std::vector<PciAddress>> read_addresses(sd_bus_message* call) {
    int result = sd_bus_message_enter_container(call, SD_BUS_TYPE_ARRAY, "s");
    if (result < 0) {
        return unreadable(result);
    }
    std::vector<std::string> texts;
    std::size_t count = 0;
    const char* text = nullptr;
    // Beyond the limit they are counted for the message, and not kept.
    while ((result = sd_bus_message_read_basic(call, SD_BUS_TYPE_STRING, &text)) > 0) {
        if (++count <= most_lease_devices) {
            texts.emplace_back(text);
        }
    }
    if (result < 0) {
        return unreadable(result);
    }
    result = sd_bus_message_exit_container(call);
    if (result < 0) {
        return unreadable(result);
    }
    if (count > most_lease_devices) {
        return fail(ErrorCode::invalid_argument, too_many_devices(count));
    }
    return parse_addresses(texts);
}

Result<std::string> read_string(sd_bus_message* call, char type) {
    const char* text = nullptr;
    const int result = sd_bus_message_read_basic(call, type, &text);
    return result <= 0 ? Result<std::string>(unreadable(result)) : std::string(text);
}

Result<std::uint64_t> read_number(sd_bus_message* call) {
    std::uint64_t number = 0;
    const int result = sd_bus_message_read_basic(call, SD_BUS_TYPE_UINT64, &number);
    return result <= 0 ? Result<std::uint64_t>(unreadable(result)) : number;
}

Result<void> check_carries_fds(sd_bus_message* call, ConnectionKind kind, std::size_t fds) {
    if (sd_bus_can_send(sd_bus_message_get_bus(call), SD_BUS_TYPE_UNIX_FD) <= 0) {
        return fail(ErrorCode::invalid_argument,
                    "this connection carries no descriptors: its handshake has no NEGOTIATE_UNIX_FD");
    }
    if (kind == ConnectionKind::system_bus && fds > most_fds_on_system_bus) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("the answer would have {} descriptors, the system bus carries {}; connect to "
                                "unix:path=/run/iommud/bus",
                                fds, most_fds_on_system_bus));
    }
    return {};
}

}  // namespace iommud::worker
