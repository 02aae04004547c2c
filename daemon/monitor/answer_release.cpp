// Release: the holder ends its own lease. Answered when DMA has ended, not before.
#include <fmt/format.h>

#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

constexpr std::size_t most_waiters = 64;

}  // namespace

void answer_release(Monitor& monitor, Connection& connection, const ipc::ReleaseRequest& request) {
    Lease* lease = monitor.leases().find(request.lease);
    if (lease == nullptr || !may_see(connection, lease->record)) {
        connection.fail_request(request.cookie, {ErrorCode::no_such_lease, fmt::format("no lease {}", request.lease)});
        return;
    }
    if (lease->state == LeaseState::draining) {
        monitor.views().bring_up_to_date(connection);
        connection.send(ipc::RequestDone{.cookie = request.cookie});
        return;
    }
    if (lease->releases.size() >= most_waiters) {
        connection.fail_request(request.cookie, {ErrorCode::invalid_argument,
                                                 fmt::format("{} requests wait for the end of lease {} already",
                                                             lease->releases.size(), request.lease)});
        return;
    }
    lease->releases.push_back({connection.answers_to(), request.cookie});
    if (lease->releases.size() == 1) {
        monitor.keepers().take_back(*lease, 0, "released");
    }
}

}  // namespace iommud::monitor
