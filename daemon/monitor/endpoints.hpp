// The endpoints that are open. The vault holds their sockets and records over restarts of the monitor.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "daemon/ipc/vault_messages.hpp"
#include "daemon/monitor/endpoint.hpp"
#include "daemon/monitor/endpoint_folder.hpp"
#include "daemon/monitor/identity.hpp"
#include "daemon/monitor/listener.hpp"
#include "daemon/monitor/process.hpp"

namespace iommud::monitor {

class Monitor;

class Endpoints {
  public:
    static constexpr std::size_t most = 1024;

    explicit Endpoints(Monitor& monitor);

    // The folder to mount in the container. `asker` is the administrator's connection. Errors: invalid_argument,
    // kernel_unsupported, internal.
    [[nodiscard]] Result<std::string> open(const ipc::OpenEndpointRequest& request, const Identity& asker);
    // Ends it, its connections and its leases; nothing when there is none. `if_ended`: only when its container has.
    void close(const std::string& id, bool if_ended);

    // ---- after a restart of the monitor
    void held(const ipc::HeldThing& thing, UniqueFd socket);
    // The vault has said all: what is still a container's is served again, everything else is closed.
    void settle();

    // Whether `who` is in a container that has an endpoint: then it is no administrator, and no other socket is its
    // own. In doubt it is.
    [[nodiscard]] bool in_any(const Identity& who) const;
    // Whether `who` is a process of this container, or of a cgroup below it.
    [[nodiscard]] bool inside(const Identity& who, const EndpointRecord& endpoint) const;

  private:
    struct Endpoint {
        std::shared_ptr<const EndpointRecord> record;
        UniqueFd init;                                     // the container's first process
        boost::asio::posix::stream_descriptor init_watch;  // borrows init
        std::optional<Listener> listener;
        explicit Endpoint(boost::asio::io_context& io) : init_watch(io) {}
        ~Endpoint();
        Endpoint(const Endpoint&) = delete;
        Endpoint& operator=(const Endpoint&) = delete;
        Endpoint(Endpoint&&) = delete;
        Endpoint& operator=(Endpoint&&) = delete;
    };

    [[nodiscard]] Result<CgroupId> own_cgroup(const Init& init, const Identity& asker) const;
    [[nodiscard]] Result<void> hold(const EndpointRecord& record, BorrowedFd socket);
    void serve(const std::shared_ptr<const EndpointRecord>& record, UniqueFd init, UniqueFd socket);
    void accepted(const std::shared_ptr<const EndpointRecord>& record, UniqueFd socket);
    void end_leases(const std::string& key);

    Monitor& monitor_;
    EndpointFolder folder_;
    std::map<std::string, std::unique_ptr<Endpoint>> open_;            // by id
    std::map<std::string, std::pair<EndpointRecord, UniqueFd>> held_;  // until settle()
};

}  // namespace iommud::monitor
