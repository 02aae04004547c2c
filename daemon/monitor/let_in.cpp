// Who comes in where: the administrators' socket is for the host's root, the host's for whoever is in no container, and
// an endpoint for its own container's processes (I2, I9).
#include <unistd.h>

#include "daemon/monitor/administrator.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {

Result<void> Monitor::let_in(const Identity& who, ConnectionKind kind, const EndpointRecord* via) const {
    if (options_.simulated) {
        return kind != ConnectionKind::admin || who.uid == ::getuid()
                   ? Result<void>()
                   : fail(ErrorCode::access_denied, "it is not the user whose simulation this is");
    }
    if (via == nullptr && (kind == ConnectionKind::admin || who.uid == 0)) {
        const RootEvidence evidence = evidence_of(who);
        const auto why = kind == ConnectionKind::admin ? no_administrator(evidence) : no_host_root(evidence);
        if (why) {
            return fail(ErrorCode::access_denied, std::string(*why));
        }
    }
    return admits(endpoints_.marks(), who, via);
}

}  // namespace iommud::monitor
