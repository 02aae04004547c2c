// The packets of the lease channel as values: what a client's bytes mean, without any socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "client/lib/include/iommud/lease_channel.h"

namespace iommud::keeper {

// The request in `packet`; nothing when the packet is none of the public structures, which ends the lease.
[[nodiscard]] std::optional<iommud_request> parse_request(std::span<const std::byte> packet);

// False for a flag that the operation does not have, or a field that it does not take: answered INVALID_ARGUMENT.
[[nodiscard]] bool well_formed(const iommud_request& request, bool with_descriptor);

// INVALID_ARGUMENT's value; of `where` counts the page.
[[nodiscard]] constexpr std::uint64_t fault_value(iommud_argument_fault fault, std::uint64_t where = 0) {
    return IOMMUD_FAULT_AT(where) | std::uint64_t{fault};
}

[[nodiscard]] iommud_reply make_reply(const iommud_request& request, iommud_error error, std::uint64_t value);
[[nodiscard]] iommud_reply make_event(iommud_packet_kind kind, std::uint64_t value);

}  // namespace iommud::keeper
