#include "daemon/monitor/administrator.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>

namespace iommud::monitor {

std::optional<std::string_view> no_host_root(const RootEvidence& evidence) {
    if (!evidence.uid_0) {
        return "it is not uid 0";
    }
    if (!evidence.own_pid_namespace) {
        return "it is uid 0, but not surely in the host's pid namespace";
    }
    return std::nullopt;
}

std::optional<std::string_view> no_administrator(const RootEvidence& evidence) {
    if (const auto why = no_host_root(evidence)) {
        return why;
    }
    if (!evidence.initial_user_namespace) {
        return "it is uid 0, but not surely in the initial user namespace";
    }
    if (!evidence.host_mount_namespace && !evidence.all_capabilities) {
        return "it is uid 0, but neither in the host's mount namespace nor with all capabilities";
    }
    return std::nullopt;
}

std::optional<int> first_mount(std::string_view text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end != text.data() + text.size() && *end == ' ' ? std::optional(number)
                                                                                   : std::nullopt;
}

RootEvidence evidence_of(const Identity& who, const ProcessTable& table) {
    const auto file = [&table](pid_t pid, const char* name) {
        return table.read(fmt::format("/proc/{}/{}", pid, name));
    };
    RootEvidence evidence{.uid_0 = who.uid == 0,
                          .initial_user_namespace = who.initial_user_namespace,
                          .own_pid_namespace = who.own_pid_namespace};
    const bool settled = who.pidfd.valid() && (!evidence.own_pid_namespace || !evidence.initial_user_namespace);
    if (!evidence.uid_0 || who.pid <= 0 || settled) {
        return evidence;
    }
    const std::string status = file(who.pid, "status");
    if (!who.pidfd.valid()) {
        evidence.initial_user_namespace = is_initial_uid_map(file(who.pid, "uid_map"));
        evidence.own_pid_namespace = in_own_pid_namespace(status);
    }
    const auto own = parse_credentials(status);
    const auto inits = parse_credentials(file(1, "status"));
    evidence.all_capabilities =
        own && inits && inits->effective != 0 && (own->effective & inits->effective) == inits->effective;
    const auto mount = first_mount(file(who.pid, "mountinfo"));
    evidence.host_mount_namespace = mount && mount == first_mount(file(1, "mountinfo"));
    // Looked at by number: worth nothing unless it was still that process.
    if (who.pidfd.valid() && !table.still_runs(who.pidfd.borrow())) {
        return {};
    }
    return evidence;
}

bool kernel_gives_peer_pidfds() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        return false;
    }
    const UniqueFd left(ends[0]);
    const UniqueFd right(ends[1]);
    return peer_pidfd(left.borrow()).valid() || errno != ENOPROTOOPT;
}

}  // namespace iommud::monitor
