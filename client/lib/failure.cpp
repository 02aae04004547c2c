#include "client/lib/failure.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "daemon/base/error.hpp"

namespace iommud::lib {
namespace {

// The ABI's numbers are the daemon's.
static_assert(IOMMUD_ERROR_ACCESS_DENIED == static_cast<int>(ErrorCode::access_denied));
static_assert(IOMMUD_ERROR_MEMORY_LIMIT == static_cast<int>(ErrorCode::memory_limit));
static_assert(IOMMUD_ERROR_DEVICE_LIMIT == static_cast<int>(ErrorCode::device_limit));
static_assert(IOMMUD_ERROR_INVALID_MEMORY == static_cast<int>(ErrorCode::invalid_memory));
static_assert(IOMMUD_ERROR_DRAINING == static_cast<int>(ErrorCode::draining));
static_assert(IOMMUD_ERROR_DEVICE_REFUSED == static_cast<int>(ErrorCode::device_refused));

std::string name_of_code(int code) {
    const bool named = code > 0 && valid_error_code(static_cast<std::uint32_t>(code));
    return named ? dbus_error_name(static_cast<ErrorCode>(code)) : "";
}

template <std::size_t size>
void copy_cut(char (&to)[size], std::string_view from) {
    const std::size_t length = std::min(from.size(), size - 1);
    std::memcpy(to, from.data(), length);
    std::memset(to + length, 0, size - length);
}

}  // namespace

tl::unexpected<Failure> failed(int code, std::string message) {
    return tl::unexpected<Failure>(Failure{.code = code, .message = std::move(message), .name = name_of_code(code)});
}

tl::unexpected<Failure> system_failed(std::string_view what, int error_number) {
    return tl::unexpected<Failure>(Failure{.code = IOMMUD_ERROR_SYSTEM,
                                           .message = errno_message(what, error_number),
                                           .name = {},
                                           .error_number = error_number});
}

int code_of_name(std::string_view name) {
    // What sd-bus itself answers where a method is not for this caller.
    if (name == "org.freedesktop.DBus.Error.AccessDenied") {
        return IOMMUD_ERROR_ACCESS_DENIED;
    }
    const ErrorCode code = error_code_from_dbus_name(name);
    return code == ErrorCode::internal ? static_cast<int>(IOMMUD_ERROR_DAEMON) : static_cast<int>(code);
}

int exit_code(int code) {
    switch (code) {
        case 0:
            return 0;
        case IOMMUD_ERROR_ACCESS_DENIED:
            return 3;
        case IOMMUD_ERROR_NO_DAEMON:
            return 4;
        case IOMMUD_ERROR_MEMORY_LIMIT:
        case IOMMUD_ERROR_LEASE_LIMIT:
        case IOMMUD_ERROR_DEVICE_LIMIT:
        case IOMMUD_ERROR_MAP_LIMIT:
        case IOMMUD_ERROR_CHANNEL_LIMIT:
            return 5;
        default:  // codes are numbers of a C ABI here, not an enumeration
            return 1;
    }
}

int report(const Failure& failure, iommud_failure* out) {
    if (out != nullptr) {
        out->code = failure.code;
        out->error_number = failure.error_number;
        out->value = failure.value;
        copy_cut(out->name, failure.name);
        copy_cut(out->message, failure.message);
    }
    return failure.code;
}

}  // namespace iommud::lib
