// iommuctl policy show: the policy in force, as the daemon has it.
#include <unistd.h>

#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/tables.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const PolicyShow&, const Settings& settings) {
    const auto bus = connect(settings);
    if (!bus) {
        return tl::unexpected(bus.error());
    }
    const auto entries = policy_in_force(*bus);
    if (!entries) {
        return tl::unexpected(entries.error());
    }
    return settings.json ? print_json(*entries) : print(policy_text(*entries, style_for(settings, STDOUT_FILENO)));
}

}  // namespace iommud::ctl
