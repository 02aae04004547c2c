// iommuctl lease revoke ID
#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const LeaseRevoke& verb, const Settings& settings) {
    const auto bus = connect(settings);
    if (!bus) {
        return tl::unexpected(bus.error());
    }
    return revoke(*bus, verb).map([] { return 0; });
}

}  // namespace iommud::ctl
