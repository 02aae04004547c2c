#include "daemon/worker/confine.hpp"

#include "daemon/base/bytes.hpp"
#include "daemon/sandbox/bus_worker_filter.hpp"
#include "daemon/sandbox/privileges.hpp"
#include "daemon/sandbox/seccomp.hpp"
#include "daemon/sandbox/worker_filter.hpp"

namespace iommud::worker {
namespace {

// sd-bus takes messages of up to 128 MiB; no call of ours needs one. An administrator's GetManagedObjects with 4,096
// leases takes 20 MiB.
constexpr std::uint64_t most_data = 48 * MiB;

}  // namespace

void confine(ConnectionKind kind) {
#ifndef IOMMUD_SANITIZED  // whose run-time maps terabytes of shadow
    sandbox::set_limit(RLIMIT_DATA, most_data);
#endif
    sandbox::forbid_dumps();
    if (kind == ConnectionKind::system_bus) {
        sandbox::enter_seccomp(sandbox::bus_worker_filter);
    } else {
        sandbox::enter_seccomp(sandbox::worker_filter);
    }
}

}  // namespace iommud::worker
