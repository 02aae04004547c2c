#include "daemon/worker/confine.hpp"

#include "daemon/base/worker_bounds.hpp"
#include "daemon/sandbox/bus_worker_filter.hpp"
#include "daemon/sandbox/privileges.hpp"
#include "daemon/sandbox/seccomp.hpp"
#include "daemon/sandbox/worker_filter.hpp"

namespace iommud::worker {
namespace {

// sd-bus forgets, and keeps open, descriptors that come with a message that does not count them: this many, and the
// next one ends the connection. 64 requests with a delivery each fit in.
constexpr std::uint64_t most_fds = 1024;

// There each of 512 requests may have 16 in its message, and a delivery.
constexpr std::uint64_t most_fds_on_bus = 16 * 1024;

// A limit that is lower already stays.
void lower_limit(__rlimit_resource resource, rlim_t most) {
    rlimit now{};
    if (::getrlimit(resource, &now) != 0 || now.rlim_max > most) {
        sandbox::set_limit(resource, most);
    }
}

}  // namespace

void confine(ConnectionKind kind) {
#ifndef IOMMUD_SANITIZED  // whose run-time maps terabytes of shadow
    lower_limit(RLIMIT_DATA, kind == ConnectionKind::client ? most_worker_data : most_admin_worker_data);
#endif
    lower_limit(RLIMIT_NOFILE, kind == ConnectionKind::system_bus ? most_fds_on_bus : most_fds);
    sandbox::forbid_dumps();
    if (kind == ConnectionKind::system_bus) {
        sandbox::enter_seccomp(sandbox::bus_worker_filter);
    } else {
        sandbox::enter_seccomp(sandbox::worker_filter);
    }
}

}  // namespace iommud::worker
