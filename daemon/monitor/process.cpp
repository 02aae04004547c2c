#include "daemon/monitor/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "daemon/monitor/cgroup.hpp"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgets that itself
}

namespace iommud::monitor {

std::string read_proc(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(16 * 1024, '\0');
    const ssize_t size = fd.valid() ? ::read(fd.get(), text.data(), text.size()) : -1;
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
}

bool still_runs(BorrowedFd pidfd) {
    pollfd entry{pidfd.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 0;
}

std::optional<ProcessNumber> parse_pidfd_info(std::string_view info) {
    constexpr std::string_view key = "Pid:\t";
    constexpr std::string_view nested_key = "NSpid:\t";  // one number for each pid namespace, ours first
    const auto line = [&info](std::string_view name) {
        const std::size_t at = info.starts_with(name) ? 0 : info.find("\n" + std::string(name));
        if (at == std::string_view::npos) {
            return std::string_view();
        }
        const std::string_view rest = info.substr(info.find(name, at) + name.size());
        return rest.substr(0, rest.find('\n'));
    };
    const std::string_view digits = line(key);
    ProcessNumber number;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number.pid);
    // -1: reaped; 0: in a pid namespace that is not below ours
    if (error != std::errc{} || number.pid <= 0) {
        return std::nullopt;
    }
    number.nested = line(nested_key).find('\t') != std::string_view::npos;
    return number;
}

std::optional<ProcessNumber> number_of(BorrowedFd pidfd) {
    return parse_pidfd_info(read_proc(fmt::format("/proc/self/fdinfo/{}", pidfd.get())));
}

std::optional<std::uint64_t> start_time(std::string_view text) {
    // The second field is the program's name in parentheses, and may have anything in it.
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string_view::npos) {
        return std::nullopt;
    }
    text.remove_prefix(name_end + 1);
    constexpr int fields_before = 19;  // of those after the name: state is the third of all, the start the 22nd
    for (int field = 0; field <= fields_before; ++field) {
        const std::size_t space = text.find(' ');
        if (space == std::string_view::npos) {
            return std::nullopt;
        }
        text.remove_prefix(space + 1);
    }
    std::uint64_t start = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), start);
    return error == std::errc{} ? std::optional(start) : std::nullopt;
}

Result<Init> look_at_init(pid_t pid) {
    Init init;
    init.pidfd = UniqueFd(pid > 0 ? ::pidfd_open(pid, 0) : -1);
    const int error = errno;
    if (!init.pidfd.valid()) {
        return fail(ErrorCode::invalid_argument,
                    pid > 0 ? errno_message(fmt::format("process {}", pid), error) : fmt::format("no process {}", pid));
    }
    const auto before = number_of(init.pidfd.borrow());
    const auto start = start_time(read_proc(fmt::format("/proc/{}/stat", pid)));
    const std::string cgroup = read_proc(fmt::format("/proc/{}/cgroup", pid));
    if (!before || before->pid != pid || !start || !still_runs(init.pidfd.borrow())) {
        return fail(ErrorCode::invalid_argument, fmt::format("process {} has exited", pid));
    }
    init.start = *start;
    init.cgroup = unified_path(cgroup);
    return init;
}

}  // namespace iommud::monitor
