// iommuctl: iommud for people and scripts. Exit codes: 0 ok, 1 failed, 2 usage, 3 denied by policy, 4 no daemon,
// 5 limit reached.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <variant>

#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {
namespace {

int complain(const lib::Failure& failure, const Settings& settings) {
    const Style style = style_for(settings, STDERR_FILENO);
    fmt::print(stderr, "{} {}\n", bold("iommuctl:", style), printable(failure.message));
    if (const std::string hint = hint_for(failure); !hint.empty()) {
        fmt::print(stderr, "iommuctl: {}\n", hint);
    }
    return lib::exit_code(failure.code);
}

int run_main(std::vector<std::string> arguments) {
    const auto line = parse_command_line(std::move(arguments));
    if (!line) {
        const Usage& usage = line.error();
        if (usage.exit_code == 0) {
            fmt::print("{}", usage.text);
        } else {
            fmt::print(stderr, "iommuctl: {}", usage.text);
        }
        return usage.exit_code;
    }
    const Settings& settings = line->settings;
    const auto done = std::visit([&settings](const auto& verb) { return perform(verb, settings); }, line->verb);
    return done ? *done : complain(done.error(), settings);
}

}  // namespace
}  // namespace iommud::ctl

int main(int argc, char** argv) {
    try {
        return iommud::ctl::run_main({argv + 1, argv + argc});
    } catch (const std::exception& error) {  // bad_alloc, and bugs
        (void)std::fprintf(stderr, "iommuctl: %s\n", error.what());
        return 1;
    }
}
