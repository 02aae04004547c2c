// The errors that callers see. One table maps each to its D-Bus name and to iommuctl's exit code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace iommud {

// The values travel in frames between our processes and on the lease channel: append only.
enum class ErrorCode : std::uint32_t {
    internal = 0,  // our bug, logged as such, never blamed on the caller
    access_denied = 1,
    no_such_device = 2,
    device_busy = 3,
    group_not_viable = 4,
    memory_limit = 5,
    lease_limit = 6,
    device_limit = 7,
    unsupported_mode = 8,
    kernel_unsupported = 9,
    invalid_argument = 10,
    invalid_memory = 11,
    no_such_lease = 12,
    lease_revoked = 13,
    policy_invalid = 14,
    draining = 15,
    device_refused = 16,  // the device may not be lent, or the kernel refuses it: the same request fails again
};
inline constexpr std::uint32_t error_code_count = 17;

struct Error {
    ErrorCode code = ErrorCode::internal;
    std::string message;  // what was asked, what the limit or rule is, where it stands
};

// "org.iommud1.Error.AccessDenied"; a static string.
[[nodiscard]] const char* dbus_error_name(ErrorCode code);

// The code behind a D-Bus error name of ours; `internal` for any other name.
[[nodiscard]] ErrorCode error_code_from_dbus_name(std::string_view name);

// False for a number that no ErrorCode has.
[[nodiscard]] bool valid_error_code(std::uint32_t number);

// "open /dev/iommu: No such file or directory": `what` and the text of `error_number`.
[[nodiscard]] std::string errno_message(std::string_view what, int error_number);

}  // namespace iommud
