// One function for each request of a worker; each in a file of its own. They answer by frames to the connection: at
// once, or when keeper or vault have answered.
#pragma once

#include "daemon/ipc/worker_messages.hpp"

namespace iommud::monitor {

class Connection;
class Monitor;

void answer_acquire(Monitor& monitor, Connection& connection, const ipc::AcquireRequest& request);
void answer_add(Monitor& monitor, Connection& connection, const ipc::AddRequest& request);
void answer_explain(Monitor& monitor, Connection& connection, const ipc::ExplainRequest& request);
void answer_accounts(Monitor& monitor, Connection& connection, const ipc::AccountsRequest& request);
void answer_release(Monitor& monitor, Connection& connection, const ipc::ReleaseRequest& request);
void answer_policy(Monitor& monitor, Connection& connection, const ipc::PolicyRequest& request);
void answer_open_endpoint(Monitor& monitor, Connection& connection, const ipc::OpenEndpointRequest& request);
void answer_close_endpoint(Monitor& monitor, Connection& connection, const ipc::CloseEndpointRequest& request);
void answer_revoke(Monitor& monitor, Connection& connection, const ipc::RevokeRequest& request);
void answer_reload(Monitor& monitor, Connection& connection, const ipc::ReloadRequest& request);

}  // namespace iommud::monitor
