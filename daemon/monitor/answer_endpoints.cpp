// OpenEndpoint and CloseEndpoint: an administrator, most often a container engine's hook, gives a container a socket of
// its own, and takes it back.
#include <fmt/format.h>

#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {

void answer_open_endpoint(Monitor& monitor, Connection& connection, const ipc::OpenEndpointRequest& request) {
    Result<std::string> path = monitor.endpoints().open(request, connection.who());
    if (!path) {
        connection.fail_request(request.cookie, path.error());
        return;
    }
    connection.opened_endpoint(request.id, monitor.endpoints().key_of(request.id));
    connection.send(ipc::EndpointOpened{.cookie = request.cookie, .path = std::move(*path)});
}

void answer_close_endpoint(Monitor& monitor, Connection& connection, const ipc::CloseEndpointRequest& request) {
    if (!valid_endpoint_id(request.id)) {
        connection.fail_request(request.cookie, {ErrorCode::invalid_argument, "no endpoint has such an id"});
        return;
    }
    if (!request.own || connection.has_opened(request.id, monitor.endpoints().key_of(request.id))) {
        monitor.endpoints().close(request.id, request.if_ended);
    }
    connection.send(ipc::RequestDone{.cookie = request.cookie});
}

}  // namespace iommud::monitor
