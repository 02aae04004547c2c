// The arguments of OpenEndpoint and CloseEndpoint, read out of a D-Bus call and bounded. What they mean the monitor
// checks.
#pragma once

#include "daemon/ipc/worker_messages.hpp"
#include "daemon/worker/bus.hpp"

namespace iommud::worker {

// (s id, a{sv} {pid u, uid u, devices as, memory t, annotations a{ss}}): pid and uid are required.
[[nodiscard]] Result<ipc::OpenEndpointRequest> read_open_endpoint(sd_bus_message* call);
// (s id, a{sv} {if-ended b})
[[nodiscard]] Result<ipc::CloseEndpointRequest> read_close_endpoint(sd_bus_message* call);

}  // namespace iommud::worker
