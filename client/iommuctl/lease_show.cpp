// iommuctl lease show ID
#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/tables.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const LeaseShow& verb, const Settings& settings) {
    const auto bus = connect(settings);
    if (!bus) {
        return tl::unexpected(bus.error());
    }
    const auto lease = lease_properties(*bus, verb.lease);
    if (!lease) {
        return tl::unexpected(lease.error());
    }
    return settings.json ? print_json(*lease) : print(lease_text(*lease));
}

}  // namespace iommud::ctl
