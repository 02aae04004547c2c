// Who is at the other end of a connection: from the kernel, as of connect (I2, I3). Nothing here is from a message.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/monitor/credentials.hpp"
#include "daemon/monitor/process_table.hpp"

namespace iommud::monitor {

// Groups of one connection. The kernel has up to 65,536, which a user namespace gives to anybody; each connection would
// keep them, and each decision look at them all.
inline constexpr std::size_t most_groups = 1024;

struct Identity {
    uid_t uid = static_cast<uid_t>(-1);  // effective, as of connect
    gid_t gid = static_cast<gid_t>(-1);
    std::vector<gid_t> groups;        // supplementary, and `gid`: SO_PEERGROUPS lacks it; of too many none
    std::size_t group_count = 0;      // how many supplementary ones it has
    UniqueFd pidfd;                   // invalid on kernels without SO_PEERPIDFD (before 6.5)
    pid_t pid = 0;                    // for people to read; only the pidfd is a process
    std::optional<std::string> unit;  // the outermost systemd service or scope; "": in none; nothing: not known
    std::string cgroup;               // its path in the version 2 hierarchy; empty: not known
    bool initial_user_namespace = false;
    bool own_pid_namespace = false;          // surely in the daemon's own, and not in one below it, as containers are
    std::optional<Credentials> credentials;  // of its first thread; nothing: not known

    void take_groups(std::vector<gid_t> all);
    // Then it is refused whatever policy is asked for: without its groups no deny for one of them is known to hold.
    [[nodiscard]] bool too_many_groups() const { return group_count > most_groups; }
    [[nodiscard]] std::string groups_refusal() const;  // why, with the bound

    // "uid 1000 (pid 4711)"
    [[nodiscard]] std::string text() const;
};

// Reads `socket`'s peer. An error other than a kernel without SO_PEERPIDFD fails: the connection is to be closed.
// Does not block: credentials of the socket, and /proc by the number that the pidfd vouches for.
[[nodiscard]] Result<Identity> identify_peer(BorrowedFd socket, const ProcessTable& table = processes());

// The outermost service or scope in the text of /proc/PID/cgroup: the first component after the slices, and never one
// below user@.service, where users choose the names. Nothing when there is none.
[[nodiscard]] std::optional<std::string> outermost_unit(std::string_view proc_cgroup);

// Whether the text of /proc/PID/uid_map is the initial user namespace's: every uid maps to itself.
[[nodiscard]] bool is_initial_uid_map(std::string_view proc_uid_map);

// Whether the text of /proc/PID/status has one number for the process alone: it is in no pid namespace below ours.
[[nodiscard]] bool in_own_pid_namespace(std::string_view proc_status);

}  // namespace iommud::monitor
