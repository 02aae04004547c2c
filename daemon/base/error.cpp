#include "daemon/base/error.hpp"

#include <array>
#include <cstring>

namespace iommud {
namespace {

// Indexed by ErrorCode.
constexpr std::array<const char*, error_code_count> names{
    "org.iommud1.Error.Internal",          "org.iommud1.Error.AccessDenied",    "org.iommud1.Error.NoSuchDevice",
    "org.iommud1.Error.DeviceBusy",        "org.iommud1.Error.GroupNotViable",  "org.iommud1.Error.MemoryLimit",
    "org.iommud1.Error.LeaseLimit",        "org.iommud1.Error.DeviceLimit",     "org.iommud1.Error.UnsupportedMode",
    "org.iommud1.Error.KernelUnsupported", "org.iommud1.Error.InvalidArgument", "org.iommud1.Error.InvalidMemory",
    "org.iommud1.Error.NoSuchLease",       "org.iommud1.Error.LeaseRevoked",    "org.iommud1.Error.PolicyInvalid",
    "org.iommud1.Error.Draining",          "org.iommud1.Error.DeviceRefused",
};

}  // namespace

const char* dbus_error_name(ErrorCode code) {
    const auto index = static_cast<std::uint32_t>(code);
    return valid_error_code(index) ? names[index] : names[0];
}

ErrorCode error_code_from_dbus_name(std::string_view name) {
    for (std::uint32_t index = 0; index < error_code_count; ++index) {
        if (name == names[index]) {
            return static_cast<ErrorCode>(index);
        }
    }
    return ErrorCode::internal;
}

bool valid_error_code(std::uint32_t number) {
    return number < error_code_count;
}

// By hand, not by fmt: a keeper, which is counted in kilobytes, links this.
std::string errno_message(std::string_view what, int error_number) {
    const char* const text = ::strerrordesc_np(error_number);
    return std::string(what).append(": ").append(text != nullptr ? text : "unknown error");
}

}  // namespace iommud
