// Whose memory a process would pin, and whether the kernel would count it: what mode direct asks of a caller.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/monitor/process_table.hpp"

namespace iommud::monitor {

// Of one thread, from the text of its /proc/.../status.
struct Credentials {
    std::array<uid_t, 4> uids{};     // real, effective, saved, of the file system
    std::array<gid_t, 4> gids{};     // likewise
    std::uint64_t capabilities = 0;  // inheritable, permitted, effective or ambient
    std::uint64_t effective = 0;
    bool operator==(const Credentials&) const = default;
};
[[nodiscard]] std::optional<Credentials> parse_credentials(std::string_view proc_status);

// Whether the kernel would count what a process with these credentials pins, against `uid` and nobody else. Error:
// access_denied, with the reason.
[[nodiscard]] Result<void> counted_against(const Credentials& credentials, uid_t uid, gid_t gid);

// The same of every thread of the process as it is now, and that it is in the initial user namespace: it may have
// executed a set-uid program since it connected, or made a namespace. `pid` is the number that the pidfd vouches for.
[[nodiscard]] Result<void> counted_now(BorrowedFd pidfd, pid_t pid, uid_t uid, gid_t gid,
                                       const ProcessTable& table = processes());

}  // namespace iommud::monitor
