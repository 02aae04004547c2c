// GetPolicy: an administrator sees the policy in force, merged, with percentages resolved.
#include <fmt/format.h>

#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/monitor.hpp"
#include "daemon/monitor/pages.hpp"
#include "policy/show.hpp"

namespace iommud::monitor {

void answer_policy(Monitor& monitor, Connection& connection, const ipc::PolicyRequest& request) {
    const std::vector<policy::ShownEntry> shown = policy::show(monitor.policy().current());
    Pages<ipc::PolicyEntries, &ipc::PolicyEntries::entries> pages(
        connection, {.cookie = request.cookie, .last = false, .entries = {}});
    for (std::size_t i = 0; i < shown.size(); ++i) {
        if (!pages.add(shown[i].texts())) {
            const policy::ShownEntry more{"more", "", fmt::format("and {} more", shown.size() - i), ""};
            pages.add_last(more.texts());
            break;
        }
    }
    pages.finish();
}

}  // namespace iommud::monitor
