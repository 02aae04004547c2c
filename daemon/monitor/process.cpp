#include "daemon/monitor/process.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgets that itself
}

namespace iommud::monitor {

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

Result<Init> look_at_init(pid_t pid, const ProcessTable& table) {
    Init init;
    init.pidfd = UniqueFd(pid > 0 ? ::pidfd_open(pid, 0) : -1);
    const int error = errno;
    if (!init.pidfd.valid()) {
        return fail(ErrorCode::invalid_argument,
                    pid > 0 ? errno_message(fmt::format("process {}", pid), error) : fmt::format("no process {}", pid));
    }
    const auto before = table.number_of(init.pidfd.borrow());
    const auto start = start_time(table.read(fmt::format("/proc/{}/stat", pid)));
    const std::string cgroup = table.read(fmt::format("/proc/{}/cgroup", pid));
    init.cgroup = unified_path(cgroup);
    init.cgroups = table.cgroup_ids(init.cgroup);
    if (!before || before->pid != pid || !start || !table.still_runs(init.pidfd.borrow())) {
        return fail(ErrorCode::invalid_argument, fmt::format("process {} has exited", pid));
    }
    init.start = *start;
    return init;
}

}  // namespace iommud::monitor
