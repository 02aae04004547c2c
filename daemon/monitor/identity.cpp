#include "daemon/monitor/identity.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "daemon/monitor/cgroup.hpp"
#include "daemon/monitor/process.hpp"

namespace iommud::monitor {
namespace {

Result<void> read_groups(BorrowedFd socket, Identity& who) {
    std::vector<gid_t> groups(64);
    for (int attempt = 0; attempt < 2; ++attempt) {
        auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0) {
            groups.resize(size / sizeof(gid_t));
            who.take_groups(std::move(groups));
            return {};
        }
        if (errno != ERANGE) {
            break;
        }
        who.group_count = size / sizeof(gid_t);  // the kernel says how many there are: at most 65,536
        if (who.too_many_groups()) {
            return {};
        }
        groups.resize(who.group_count);
    }
    return fail(ErrorCode::internal, errno_message("SO_PEERGROUPS", errno));
}

}  // namespace

std::string Identity::text() const {
    return fmt::format("uid {} (pid {})", uid, pid);
}

void Identity::take_groups(std::vector<gid_t> all) {
    group_count = all.size();
    groups = too_many_groups() ? std::vector<gid_t>() : std::move(all);
}

std::string Identity::groups_refusal() const {
    return fmt::format("uid {} has {} supplementary groups; who has more than {} is given nothing", uid, group_count,
                       most_groups);
}

namespace {

Result<ucred> peer_credentials(BorrowedFd socket) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) {
        return fail(ErrorCode::internal, errno_message("SO_PEERCRED", errno));
    }
    return credentials;
}

}  // namespace

Result<Identity> identify_peer(BorrowedFd socket, const ProcessTable& table) {
    const Result<ucred> credentials = peer_credentials(socket);
    if (!credentials) {
        return tl::unexpected(credentials.error());
    }
    Identity who;
    who.uid = credentials->uid;
    who.gid = credentials->gid;
    who.pid = credentials->pid;
    if (who.uid == static_cast<uid_t>(-1)) {
        return fail(ErrorCode::internal, "SO_PEERCRED: the peer has no uid here");
    }
    if (Result<void> read = read_groups(socket, who); !read) {
        return tl::unexpected(read.error());
    }
    if (std::find(who.groups.begin(), who.groups.end(), who.gid) == who.groups.end()) {
        who.groups.push_back(who.gid);
    }

    who.pidfd = table.peer_pidfd(socket);
    if (!who.pidfd.valid()) {
        const int error = errno;
        if (error == ENOPROTOOPT) {
            return who;  // a kernel without it: uid and groups are all that is known
        }
        return fail(ErrorCode::internal, errno_message("SO_PEERPIDFD", error));
    }
    const std::optional<ProcessNumber> number = table.number_of(who.pidfd.borrow());
    if (!number) {
        return fail(ErrorCode::internal, "the peer has exited");
    }
    who.pid = number->pid;
    who.own_pid_namespace = !number->nested;
    const std::string cgroup = table.read(fmt::format("/proc/{}/cgroup", who.pid));
    const std::string uid_map = table.read(fmt::format("/proc/{}/uid_map", who.pid));
    who.credentials = parse_credentials(table.read(fmt::format("/proc/{}/status", who.pid)));
    if (!table.still_runs(who.pidfd.borrow())) {
        return fail(ErrorCode::internal, "the peer has exited");
    }
    if (!cgroup.empty()) {
        who.unit = outermost_unit(cgroup).value_or("");
        who.cgroup = unified_path(cgroup);
    }
    who.initial_user_namespace = is_initial_uid_map(uid_map);
    return who;
}

std::optional<std::string> outermost_unit(std::string_view text) {
    // Systemd's own hierarchy where there are several, else cgroup v2.
    std::string_view path;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        constexpr std::string_view unified = "0::/";
        constexpr std::string_view systemds = ":name=systemd:/";
        if (const std::size_t at = line.find(systemds); at != std::string_view::npos && at == line.find(':')) {
            path = line.substr(at + systemds.size());
            break;
        }
        if (line.starts_with(unified)) {
            path = line.substr(unified.size());
        }
    }
    while (!path.empty()) {
        const std::string_view component = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(path.size(), component.size() + 1));
        if (component.ends_with(".slice")) {
            continue;
        }
        if (component.ends_with(".service") || component.ends_with(".scope")) {
            return std::string(component);
        }
        return std::nullopt;
    }
    return std::nullopt;
}

bool is_initial_uid_map(std::string_view text) {
    std::array<std::uint32_t, 3> numbers{};
    const char* at = text.data();
    const char* const end = text.data() + text.size();
    for (std::uint32_t& number : numbers) {
        at = std::find_if_not(at, end, [](char c) { return c == ' '; });
        const auto [rest, error] = std::from_chars(at, end, number);
        if (error != std::errc{}) {
            return false;
        }
        at = rest;
    }
    return numbers == std::array<std::uint32_t, 3>{0, 0, 4294967295U} && std::string_view(at, end) == "\n";
}

bool in_own_pid_namespace(std::string_view text) {
    constexpr std::string_view key = "\nNSpid:\t";
    const std::size_t at = text.find(key);
    if (at == std::string_view::npos) {
        return false;
    }
    const std::string_view numbers = text.substr(at + key.size());
    const std::string_view line = numbers.substr(0, numbers.find('\n'));
    return !line.empty() && line.find('\t') == std::string_view::npos;
}

}  // namespace iommud::monitor
