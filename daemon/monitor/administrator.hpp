// Whether a process with uid 0 is the host's root (I2). uid 0 of a container is uid 0 as well (C28): nothing is
// concluded from what is not known, each of these takes evidence.
#pragma once

#include <optional>
#include <string_view>

#include "daemon/monitor/identity.hpp"

namespace iommud::monitor {

struct RootEvidence {
    bool uid_0 = false;
    bool initial_user_namespace = false;
    bool own_pid_namespace = false;     // the daemon's, and not one below it
    bool host_mount_namespace = false;  // that of process 1: the daemon's own is a copy, made by its unit
    bool all_capabilities = false;      // effective, as many as process 1 has
};

// Why that is not enough, in words; nothing when it is: to be uid 0 at the host's socket, and to administer.
[[nodiscard]] std::optional<std::string_view> no_host_root(const RootEvidence& evidence);
[[nodiscard]] std::optional<std::string_view> no_administrator(const RootEvidence& evidence);

// What /proc says of `who`. By the number that its pidfd vouches for; on kernels without SO_PEERPIDFD by that of
// SO_PEERCRED, which may be another process's by now: the best there is, and said at start and in `Degraded`.
[[nodiscard]] RootEvidence evidence_of(const Identity& who, const ProcessTable& table = processes());

// Whether the running kernel gives a pidfd of a peer (SO_PEERPIDFD, 6.5).
[[nodiscard]] bool kernel_gives_peer_pidfds();
inline constexpr const char* no_peer_pidfds =
    "this kernel gives no pidfd of a peer (before 6.5): the daemon looks up who has uid 0 by process number, and a "
    "container's root that reaches a socket of the daemon can have reused that number; no endpoints, no units, no mode "
    "direct";

// The number of the first mount in the text of /proc/PID/mountinfo. No two mounts have the same, and none is in two
// namespaces.
[[nodiscard]] std::optional<int> first_mount(std::string_view mountinfo);

}  // namespace iommud::monitor
