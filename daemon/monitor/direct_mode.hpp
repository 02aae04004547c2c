// Mode direct, beside what policy says: to whom a context of its own may be given at all. An account is trusted with
// memory there, but the kernel must count for it, and for it alone.
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/ipc/types.hpp"

namespace iommud::monitor {

class Connection;
struct Identity;
class Monitor;

// Whether this daemon, on this kernel, gives leases of `mode`, whatever policy says. Error: unsupported_mode.
[[nodiscard]] Result<void> mode_given(const Monitor& monitor, Mode mode);

// Whether a context may be given by a rule like this one: its holder must not be able to read what others freed, unless
// the rule says so. Error: unsupported_mode.
[[nodiscard]] Result<void> memory_is_safe(const Monitor& monitor, Mode mode, bool allow_uncleared_memory);

// Whether it gives them to this caller, as of now. Costs a look at each of its threads, so that policy comes first.
// Errors: unsupported_mode, access_denied; the message names the reason.
[[nodiscard]] Result<void> caller_fits(const Connection& connection, Mode mode);
[[nodiscard]] Result<void> direct_for(const Identity& who, ConnectionKind kind, bool container);

}  // namespace iommud::monitor
