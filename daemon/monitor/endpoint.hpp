// An endpoint: the socket through which one container reaches the daemon, as a value.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/endpoint_bounds.hpp"
#include "daemon/ipc/types.hpp"
#include "daemon/ipc/worker_messages.hpp"
#include "daemon/monitor/cgroup.hpp"

namespace iommud::monitor {

// What is known of one, and all that the vault keeps of it beside its socket. At most ipc::max_record bytes.
struct EndpointRecord {
    std::string id;                       // the container's, as its engine names it
    std::uint32_t pid = 0;                // of the container's first process
    std::uint64_t start = 0;              // when that started, see Init
    CgroupId cgroup = 0;                  // 0: not known, in simulated mode only
    std::uint32_t owner = 0;              // the uid that pays, if policy does not say otherwise: the container's root
    std::vector<PciAddress> devices;      // the only ones that may be had through it; empty: any
    std::optional<std::uint64_t> memory;  // bytes: what a lease may reserve, and does by default
    std::map<std::string, std::string> annotations;  // by whoever made the container: they only ever narrow
    auto fields() { return std::tie(id, pid, start, cgroup, owner, devices, memory, annotations); }

    // What leases carry. The id comes again with the next container of that name, this does not.
    [[nodiscard]] std::string key() const;
};

// Every bound of a request, but for what /proc says. Error: invalid_argument.
[[nodiscard]] Result<void> check_endpoint(const ipc::OpenEndpointRequest& request);

// The memory a lease through `endpoint` is asked with, when `devices` and `memory` are what it was made for; without an
// endpoint, `memory`. Errors: access_denied, memory_limit.
[[nodiscard]] Result<std::optional<std::uint64_t>> within_endpoint(const EndpointRecord* endpoint,
                                                                   const std::vector<PciAddress>& devices,
                                                                   std::optional<std::uint64_t> memory);

}  // namespace iommud::monitor
