// Our methods' arguments, read out of a D-Bus call. A value that is read is bounded here; what it means is
// options.hpp's part. A call whose bytes are no valid D-Bus is an InvalidArgument too.
#pragma once

#include <string>
#include <vector>

#include "daemon/worker/bus.hpp"
#include "daemon/worker/options.hpp"

namespace iommud::worker {

[[nodiscard]] Result<std::vector<Option>> read_options(sd_bus_message* call);        // a{sv}
[[nodiscard]] Result<std::vector<PciAddress>> read_addresses(sd_bus_message* call);  // as
[[nodiscard]] Result<std::string> read_string(sd_bus_message* call, char type);      // s or o
[[nodiscard]] Result<std::uint64_t> read_number(sd_bus_message* call);               // t

// Before a request whose answer has `fds` descriptors: whether the connection of `call` carries them.
[[nodiscard]] Result<void> check_carries_fds(sd_bus_message* call, ConnectionKind kind, std::size_t fds);

}  // namespace iommud::worker
