// iommuctl accounts
#include <unistd.h>

#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/tables.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const Accounts&, const Settings& settings) {
    const auto bus = connect(settings);
    if (!bus) {
        return tl::unexpected(bus.error());
    }
    const auto all = accounts(*bus);
    if (!all) {
        return tl::unexpected(all.error());
    }
    return settings.json ? print_json(*all) : print(accounts_text(*all, style_for(settings, STDOUT_FILENO)));
}

}  // namespace iommud::ctl
