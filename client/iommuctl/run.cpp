// iommuctl run: acquires a lease and becomes the program, which finds the lease's descriptors by number.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/placeholders.hpp"
#include "client/iommuctl/verbs.hpp"
#include "client/lib/acquire.hpp"
#include "daemon/base/bytes.hpp"
#include "daemon/base/error.hpp"

namespace iommud::ctl {
namespace {

// The descriptors stay open across exec from here on.
Outcome<FdNumbers> keep_open(const lib::Granted& granted) {
    FdNumbers numbers;
    for (const lib::NamedFd& fd : granted.fds) {
        if (::fcntl(fd.fd.get(), F_SETFD, 0) < 0) {
            return lib::system_failed("keep a descriptor open", errno);
        }
        numbers.emplace_back(fd.name, fd.fd.get());
    }
    return numbers;
}

Outcome<std::vector<std::string>> expand_all(const std::vector<std::string>& program, const FdNumbers& numbers) {
    std::vector<std::string> expanded;
    for (const std::string& argument : program) {
        auto text = expand(argument, numbers);
        if (!text) {
            return lib::failed(IOMMUD_ERROR_PROTOCOL,
                               fmt::format("{{{}}}: no such descriptor came with the lease", text.error()));
        }
        expanded.push_back(std::move(*text));
    }
    return expanded;
}

// Returns only where it failed.
tl::unexpected<lib::Failure> become(std::vector<std::string>& program) {
    std::vector<char*> arguments;
    arguments.reserve(program.size() + 1);
    for (std::string& argument : program) {
        arguments.push_back(argument.data());
    }
    arguments.push_back(nullptr);
    // The same process goes on, so that what the kernel knows of the lease's holder is the program.
    ::execvp(arguments.front(), arguments.data());
    return lib::system_failed(fmt::format("run {}", program.front()), errno);
}

}  // namespace

Outcome<int> perform(const Run& verb, const Settings& settings) {
    const auto bus = connect(settings);
    if (!bus) {
        return tl::unexpected(bus.error());
    }
    const auto granted =
        lib::acquire(*bus, verb.devices, {.mode = verb.mode, .label = verb.label, .memory = verb.memory});
    if (!granted) {
        return tl::unexpected(granted.error());
    }
    const auto numbers = keep_open(*granted);
    if (!numbers) {
        return tl::unexpected(numbers.error());
    }
    auto program = expand_all(verb.program, *numbers);
    if (!program) {
        return tl::unexpected(program.error());
    }
    if (granted->simulated) {
        const Style style = style_for(settings, STDERR_FILENO);
        fmt::print(stderr, "iommuctl: {}\n", loud("SIMULATED KERNEL: no device is behind these descriptors", style));
    }
    if (verb.mode == "direct" && verb.memory == 0) {
        fmt::print(stderr,
                   "iommuctl: {} are reserved for what the program maps; a virtual machine needs all of its RAM: "
                   "--memory\n",
                   format_bytes(granted->memory));
    }
    for (const auto& [name, value] : environment_of(*numbers)) {
        if (::setenv(name.c_str(), value.c_str(), 1) < 0) {  // NOLINT(concurrency-mt-unsafe): one thread
            return lib::system_failed("set the program's environment", errno);
        }
    }
    return become(*program);
}

}  // namespace iommud::ctl
