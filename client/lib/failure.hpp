// Why a call of libiommud failed, and what programs exit with because of it.
#pragma once

#include <iommud/iommud.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace iommud::lib {

struct Failure {
    int code = IOMMUD_ERROR_DAEMON;  // enum iommud_code or enum iommud_error
    std::string message;
    std::string name;  // the D-Bus error's, or empty
    int error_number = 0;
    std::uint64_t value = 0;
};

template <class T>
using Outcome = tl::expected<T, Failure>;

// The name is the daemon's for `code`, if it has one.
[[nodiscard]] tl::unexpected<Failure> failed(int code, std::string message);

// IOMMUD_ERROR_SYSTEM: `what` and the text of `error_number`.
[[nodiscard]] tl::unexpected<Failure> system_failed(std::string_view what, int error_number);

// The number behind the name of a D-Bus error: one of 1 to 15, or IOMMUD_ERROR_DAEMON.
[[nodiscard]] int code_of_name(std::string_view name);

[[nodiscard]] int exit_code(int code);

// Fills *out, when there is one; cuts what does not fit. Returns the code.
int report(const Failure& failure, iommud_failure* out);

}  // namespace iommud::lib
