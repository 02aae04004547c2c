// What the monitor may ask, checked as if an attacker had sent it. An error here is never answered: it ends the
// monitor's connection.
#pragma once

#include <variant>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::vault {

using Request = std::variant<ipc::StartWorker, ipc::GrantLease, ipc::ExtendLease, ipc::SetLimit, ipc::KillChild,
                             ipc::Hold, ipc::Unhold, ipc::ReplaceUndertaker>;

// The request in `packet`: a known type, exactly well-formed, every value within its bounds, and exactly the
// descriptors that belong to it, each a socket of the right kind. Whether it fits what is there (a free slot, a new
// lease) is for the holdings to say.
[[nodiscard]] Result<Request> read_request(const ipc::Packet& packet);

}  // namespace iommud::vault
