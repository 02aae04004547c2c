// What the monitor may ask, checked as if an attacker had sent it.
#pragma once

#include <variant>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::vault {

using Request = std::variant<ipc::StartWorker, ipc::GrantLease, ipc::ExtendLease, ipc::SetLimit, ipc::KillChild,
                             ipc::CondemnHolder, ipc::Hold, ipc::Unhold, ipc::ReplaceUndertaker>;

// The request in `packet`: a known type, exactly well-formed, and exactly the descriptors that belong to it, each a
// socket of the right kind. An error is never answered: it ends the monitor's connection. Whether the request fits what
// is there (a free slot, a new lease) is for the holdings to say.
[[nodiscard]] Result<Request> read_request(const ipc::Packet& packet);

// Whether the vault takes such values (daemon/base/bounds.hpp). An error is an answer, and nothing else happens: what a
// user or a policy asks for may cost a lease, never the monitor (hazard C27).
[[nodiscard]] Result<void> within_bounds(const ipc::GrantLease& request);
[[nodiscard]] Result<void> within_bounds(const ipc::ExtendLease& request);
[[nodiscard]] Result<void> within_bounds(const ipc::SetLimit& request);
[[nodiscard]] Result<void> within_bounds(const ipc::Hold& request);

}  // namespace iommud::vault
