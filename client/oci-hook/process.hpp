// The container's first process, before it is the container's program.
#pragma once

#include <cstdint>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::hook {

struct Process {
    UniqueFd pidfd;
    UniqueFd mount_namespace;    // not this process's own
    std::uint32_t root_uid = 0;  // the host's uid of its user namespace's root

    // Errors: invalid_argument (no such process, or in this process's own mount namespace), internal.
    [[nodiscard]] static Result<Process> open(std::int64_t pid);
    [[nodiscard]] bool runs() const;
};

// Whether this is uid 0 of the initial user namespace.
[[nodiscard]] bool root_of_host();

}  // namespace iommud::hook
