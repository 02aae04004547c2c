#include "daemon/monitor/direct_mode.hpp"

#include <fmt/format.h>

#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

tl::unexpected<Error> unsupported(Mode mode, std::string_view why) {
    return fail(ErrorCode::unsupported_mode, fmt::format("mode {}: {}", name_of(mode), why));
}

}  // namespace

Result<void> mode_given(const Monitor& monitor, Mode mode) {
    switch (mode) {
        case Mode::managed:
            return {};
        case Mode::direct:
            // One container is one address space, held by the keeper: there is nothing to hand out (C13).
            return monitor.kernel() == KernelInterface::type1
                       ? unsupported(mode, "this kernel has the interface type1 only, which has no contexts to give")
                       : Result<void>();
        case Mode::legacy:
            break;
    }
    return unsupported(mode, "this daemon gives leases of mode managed and direct only");
}

Result<void> memory_is_safe(const Monitor& monitor, Mode mode, bool allow_uncleared_memory) {
    if (mode == Mode::managed || monitor.freed_memory() != FreedMemory::exposed || allow_uncleared_memory) {
        return {};
    }
    return unsupported(mode,
                       "on this kernel its holder could read memory that others freed (IOMMU_IOAS_MAP_FILE pins pages "
                       "that were not cleared): boot with init_on_alloc=1, or say allow_uncleared_memory in the rule");
}

Result<void> caller_fits(const Connection& connection, Mode mode) {
    return mode == Mode::managed ? Result<void>()
                                 : direct_for(connection.who(), connection.kind(), connection.via() != nullptr);
}

Result<void> direct_for(const Identity& who, ConnectionKind kind, bool container) {
    if (kind == ConnectionKind::system_bus) {
        return unsupported(Mode::direct, "not on the system bus, where the kernel does not say who asks");
    }
    if (container) {
        return unsupported(Mode::direct, "not for containers: they get managed leases only");
    }
    if (!who.pidfd.valid()) {
        return unsupported(Mode::direct, "it needs a kernel that gives a pidfd of its peer (6.5 or newer)");
    }
    if (!who.initial_user_namespace) {
        return fail(ErrorCode::access_denied, "mode direct: the caller is not in the initial user namespace");
    }
    if (!who.credentials) {
        return fail(ErrorCode::access_denied, "mode direct: the credentials of the caller cannot be read");
    }
    if (auto counted = counted_against(*who.credentials, who.uid, who.gid); !counted) {
        return counted;
    }
    return counted_now(who.pidfd.borrow(), who.pid, who.uid, who.gid);
}

}  // namespace iommud::monitor
