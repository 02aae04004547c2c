#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {
namespace {

bool is_set(const char* variable) {
    const char* value = ::secure_getenv(variable);
    return value != nullptr && *value != '\0';
}

bool terminal_with_colour(int fd) {
    const char* terminal = ::secure_getenv("TERM");
    return ::isatty(fd) == 1 && !is_set("NO_COLOR") && terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace

Style style_for(const Settings& settings, int fd) {
    return {.legend = settings.legend, .colour = terminal_with_colour(fd)};
}

Outcome<int> print(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
        return lib::system_failed("write to stdout", errno);
    }
    return 0;
}

Outcome<int> print_json(const json& value) {
    // ASCII: nothing in it can steer a terminal either.
    return print(value.dump(2, ' ', true, json::error_handler_t::replace) + '\n');
}

std::string hint_for(const lib::Failure& failure) {
    switch (failure.code) {
        case IOMMUD_ERROR_NO_DAEMON:
            return failure.error_number == EACCES || failure.error_number == EPERM
                       ? "this socket is not for you; the administrators' one is only for root"
                       : "is it running? systemctl status iommud.socket iommud.service";
        case IOMMUD_ERROR_ACCESS_DENIED:
            return "iommuctl policy explain DEVICE shows what the rules say";
        case IOMMUD_ERROR_DAEMON:
            return failure.name == "org.freedesktop.DBus.Error.UnknownMethod"
                       ? "administrators' verbs are only on the administrators' socket: run it as root"
                       : "";
        default:  // codes are numbers of a C ABI here, not an enumeration
            return "";
    }
}

}  // namespace iommud::ctl
