// The daemon's D-Bus interface as iommuctl uses it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "client/iommuctl/command_line.hpp"
#include "client/iommuctl/values.hpp"
#include "client/lib/bus_transport.hpp"

namespace iommud::ctl {

[[nodiscard]] Outcome<lib::Bus> connect(const Settings& settings);

// Properties of the manager; of one device; of one lease.
[[nodiscard]] Outcome<json> manager_properties(const lib::Bus& bus);
[[nodiscard]] Outcome<json> device_properties(const lib::Bus& bus, const std::string& address);
[[nodiscard]] Outcome<json> lease_properties(const lib::Bus& bus, std::uint64_t lease);

// {"devices": [...], "leases": [...]}: the properties of every object that this connection may see, devices by address,
// leases by number.
[[nodiscard]] Outcome<json> all_objects(const lib::Bus& bus);
// The same, on a connection for this alone.
[[nodiscard]] Outcome<json> all_objects(const Settings& settings);

// The account that this connection may see, or every one.
[[nodiscard]] Outcome<json> accounts(const lib::Bus& bus);

// {"Allowed": true, "Decision": "...", "Trace": [{...}]}
[[nodiscard]] Outcome<json> explain(const lib::Bus& bus, const PolicyExplain& request);

// [{"kind": "allow", "name": "nic", "says": "...", "where": "..."}]; administrators only.
[[nodiscard]] Outcome<json> policy_in_force(const lib::Bus& bus);

[[nodiscard]] Outcome<void> revoke(const lib::Bus& bus, const LeaseRevoke& request);
[[nodiscard]] Outcome<void> reload(const lib::Bus& bus);

}  // namespace iommud::ctl
