// Revoke: an administrator ends a lease. Without grace it is answered when DMA has ended; with grace, when the holders
// have been asked, for no caller waits that long.
#include <fmt/format.h>

#include "daemon/base/bounds.hpp"
#include "daemon/base/log.hpp"
#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
void answer_revoke(Monitor& monitor, Connection& connection, const ipc::RevokeRequest& request) {
    Lease* lease = monitor.leases().find(request.lease);
    if (lease == nullptr) {
        connection.fail_request(request.cookie, {ErrorCode::no_such_lease, fmt::format("no lease {}", request.lease)});
        return;
    }
    if (request.grace_usec > ipc::max_grace_usec || request.reason.size() > longest_text) {
        connection.fail_request(request.cookie, {ErrorCode::invalid_argument,
                                                 fmt::format("grace is at most {} usec, a reason at most {} bytes",
                                                             ipc::max_grace_usec, longest_text)});
        return;
    }
    log::notice(fmt::format("lease {} is revoked by {}: {}", request.lease, connection.who().text(), request.reason),
                {{"IOMMUD_LEASE", std::to_string(request.lease)}});
    const bool ended = lease->state == LeaseState::draining;
    if (request.grace_usec == 0 && !ended) {
        lease->releases.push_back({connection.weak_from_this(), request.cookie});
    }
    monitor.keepers().take_back(*lease, request.grace_usec, request.reason, true);
    if (request.grace_usec > 0 || ended) {
        connection.send(ipc::RequestDone{.cookie = request.cookie});
    }
}

}  // namespace iommud::monitor
