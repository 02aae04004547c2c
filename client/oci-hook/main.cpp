// iommud-oci-hook: run by a container runtime, as root. At createRuntime it gives a container that asked for devices an
// endpoint of its own at /run/iommud; at poststop it has it closed, which the daemon does by itself too. It forks
// nothing, ends by itself in time, and says on one line of standard error why a container is not to start.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <span>

#include "client/oci-hook/container.hpp"
#include "client/oci-hook/daemon.hpp"
#include "client/oci-hook/mount.hpp"
#include "client/oci-hook/process.hpp"

namespace iommud::hook {
namespace {

constexpr unsigned deadline_seconds = 8;  // the engine's own, in hooks.d and CDI, is 10
constexpr std::string_view create_runtime_stage = "createRuntime";
constexpr std::string_view poststop_stage = "poststop";
constexpr const char* admin_socket = "/run/iommud/admin/bus";
constexpr const char* endpoints_folder = "/run/iommud/endpoints/";

// Whatever was interrupted: only what a signal handler may call. To the journal, too, because crun throws away what a
// hook prints; by its socket, without waiting for it.
void out_of_time(int) {
    constexpr std::string_view text = "iommud-oci-hook: not done in time\n";
    constexpr std::string_view entry = "MESSAGE=not done in time\nPRIORITY=3\nSYSLOG_IDENTIFIER=iommud-oci-hook\n";
    static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
    const sockaddr_un journal{AF_UNIX, "/run/systemd/journal/socket"};
    const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    static_cast<void>(!::sendto(socket, entry.data(), entry.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&journal), sizeof journal));
    ::_exit(1);
}

// To the end, or an error beyond `most` bytes.
Result<std::string> read_all(BorrowedFd fd, const char* what, std::size_t most) {
    std::string text;
    std::array<char, 65536> some{};
    while (text.size() <= most) {
        const ssize_t size = ::read(fd.get(), some.data(), some.size());
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0) {
            return fail(ErrorCode::internal, errno_message(what, errno));
        }
        if (size == 0) {
            return text;
        }
        text.append(some.data(), static_cast<std::size_t>(size));
    }
    return fail(ErrorCode::invalid_argument, fmt::format("{} has more than {} bytes", what, most));
}

Result<std::string> read_config(const State& state) {
    const std::string path = state.bundle + "/config.json";
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    struct stat status {};
    if (!file.valid() || ::fstat(file.get(), &status) != 0) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(ErrorCode::invalid_argument, path + " is no regular file");
    }
    return read_all(file.borrow(), "config.json", most_json);
}

// Without root on the host nothing can be registered: the container's processes are the user's own and come by the
// host's socket, if it was mounted for them.
Result<void> rootless(const Config& config) {
    for (const std::string& place : config.mount_points) {
        if (place == "/run/iommud" || place == "/run/iommud/bus") {
            return {};
        }
    }
    return fail(ErrorCode::access_denied,
                "a container of a user has no endpoint of its own: add --volume /run/iommud/bus:/run/iommud/bus");
}

Error error_of(const lib::Failure& failure) {
    return {ErrorCode::internal, failure.message};
}

Result<void> mount_endpoint(const std::string& path, const std::string& id, const Process& init,
                            const std::string& root) {
    if (path != endpoints_folder + id) {
        return fail(ErrorCode::internal, "the daemon names another folder than the container's: " + path);
    }
    const Result<UniqueFd> copy = copy_mount(path);
    return copy ? mount_in(init, root, copy->borrow()) : tl::unexpected(copy.error());
}

Result<void> give_endpoint(const State& state, const Config& config, Wish wish) {
    if (config.root.empty()) {
        return fail(ErrorCode::invalid_argument, "config.json names no root.path");
    }
    const std::string root = config.root.starts_with('/') ? config.root : state.bundle + "/" + config.root;
    const Result<Process> init = Process::open(state.pid);
    if (!init) {
        return tl::unexpected(init.error());
    }
    const auto bus = lib::Bus::connect(admin_socket);
    if (!bus) {
        return tl::unexpected(error_of(bus.error()));
    }
    const auto path = open_endpoint(*bus, {.id = state.id,
                                           .pid = static_cast<std::uint32_t>(state.pid),
                                           .owner = init->root_uid,
                                           .wish = std::move(wish),
                                           .annotations = annotations_to_tell(state, config)});
    if (!path) {
        return tl::unexpected(error_of(path.error()));
    }
    Result<void> done = mount_endpoint(*path, state.id, *init, root);
    // It was this very process all the time, then: the daemon took it by number.
    if (done && !init->runs()) {
        done = fail(ErrorCode::invalid_argument, "the container ended meanwhile");
    }
    if (!done) {
        static_cast<void>(close_endpoint(*bus, state.id, Which::own));  // or the container's end does
    }
    return done;
}

Result<void> create_runtime(const State& state, bool cdi) {
    const Result<std::string> text = read_config(state);
    const Result<Config> config = text ? parse_config(*text) : tl::unexpected(text.error());
    if (!config) {
        return tl::unexpected(config.error());
    }
    Result<std::optional<Wish>> wish = read_wish(state, *config, cdi);
    if (!wish) {
        return tl::unexpected(wish.error());
    }
    if (!*wish) {
        return {};
    }
    return root_of_host() ? give_endpoint(state, *config, std::move(**wish)) : rootless(*config);
}

// Never a reason to complain: the daemon sees the container's end by itself.
void poststop(const State& state) {
    if (root_of_host()) {
        if (const auto bus = lib::Bus::connect(admin_socket)) {
            static_cast<void>(close_endpoint(*bus, state.id, Which::ended));
        }
    }
}

int complain(const std::string& message) {
    std::string line = message.substr(0, 512);
    for (char& c : line) {
        c = c >= 0 && c < 0x20 ? ' ' : c;
    }
    fmt::print(stderr, "iommud-oci-hook: {}\n", line);
    // crun throws a hook's output away. A journal that does not take it is met by the alarm.
    static_cast<void>(
        sd_journal_send("MESSAGE=%s", line.c_str(), "PRIORITY=%i", 3, "SYSLOG_IDENTIFIER=iommud-oci-hook", nullptr));
    return 1;
}

struct Arguments {
    std::string_view stage;  // empty: as the state's status says. hooks.d gives all stages the same arguments
    bool cdi = false;
};

std::optional<Arguments> parse_arguments(std::span<char*> words) {
    Arguments arguments;
    for (const std::string_view word : words) {
        if (word == "--cdi") {
            arguments.cdi = true;
        } else if ((word == create_runtime_stage || word == poststop_stage) && arguments.stage.empty()) {
            arguments.stage = word;
        } else {
            return std::nullopt;
        }
    }
    return arguments;
}

int run(std::span<char*> words) {
    // CDI's hook of each device says no more than which one; the hook of them all reads it in the configuration.
    if (words.size() == 2 && std::string_view(words[0]) == device_stage) {
        static_cast<void>(
            read_all(BorrowedFd(STDIN_FILENO), "the container's state", most_json));  // or its writer fails
        return 0;
    }
    const auto arguments = parse_arguments(words);
    if (!arguments) {
        fmt::print(stderr,
                   "usage: iommud-oci-hook [createRuntime|poststop] [--cdi], the state on standard input\n"
                   "       iommud-oci-hook device ADDRESS|all\n");
        return 2;
    }
    const Result<std::string> text = read_all(BorrowedFd(STDIN_FILENO), "the container's state", most_json);
    const Result<State> state = text ? parse_state(*text) : tl::unexpected(text.error());
    const bool ended =
        arguments->stage.empty() ? state && state->status == "stopped" : arguments->stage == poststop_stage;
    if (ended) {
        if (state) {
            poststop(*state);
        }
        return 0;
    }
    const Result<void> done = state ? create_runtime(*state, arguments->cdi) : tl::unexpected(state.error());
    return done ? 0 : complain(done.error().message);
}

}  // namespace
}  // namespace iommud::hook

int main(int argc, char** argv) {
    using namespace iommud;
    struct sigaction action {};
    action.sa_handler = hook::out_of_time;
    ::sigaction(SIGALRM, &action, nullptr);
    static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
    ::alarm(hook::deadline_seconds);
    try {
        return hook::run(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
    } catch (const std::exception& error) {
        return hook::complain(error.what());
    }
}
