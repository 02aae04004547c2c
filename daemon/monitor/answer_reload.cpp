// Reload: an administrator has policy read anew. All or nothing; what is wrong is the answer.
#include <fmt/format.h>

#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {

void answer_reload(Monitor& monitor, Connection& connection, const ipc::ReloadRequest& request) {
    const std::vector<std::string>& faults = monitor.reload_policy();
    monitor.views().bring_up_to_date(connection);
    if (faults.empty()) {
        connection.send(ipc::RequestDone{.cookie = request.cookie});
        return;
    }
    std::string message = fmt::format("the policy in force stays: {} error(s)", faults.size());
    for (const std::string& fault : faults) {
        if (message.size() + fault.size() + 1 > ipc::max_string) {
            break;  // the rest is in the journal and in Degraded
        }
        message += '\n';
        message += fault;
    }
    connection.fail_request(request.cookie, {ErrorCode::policy_invalid, message});
}

}  // namespace iommud::monitor
