// The endpoints that are open, and which cgroups are or were their containers'. The vault holds sockets and records
// over restarts of the monitor, and the cgroups' marks over its own, too.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "daemon/ipc/vault_messages.hpp"
#include "daemon/monitor/container_marks.hpp"
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
    // Ends it, its connections and its leases; nothing when there is none. Its container's processes stay refused
    // everywhere else, for as long as their cgroup exists. `if_ended`: only when its container has.
    void close(const std::string& id, bool if_ended);
    // The key of the endpoint that is open under this id; empty when none is.
    [[nodiscard]] std::string key_of(const std::string& id) const;

    // ---- after a restart of the monitor
    void held(const ipc::HeldThing& thing, UniqueFd socket);
    // The vault has said all: what is still a container's is served again, everything else is closed.
    void settle();

    [[nodiscard]] const ContainerMarks& marks() const { return marks_; }

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

    [[nodiscard]] Result<CgroupId> own_cgroup(const Init& init, const Identity& asker, const std::string& id);
    [[nodiscard]] Result<void> hold(const EndpointRecord& record, BorrowedFd socket);
    void mark(ContainerMark mark);
    void collect_marks();
    void serve(const std::shared_ptr<const EndpointRecord>& record, UniqueFd init, UniqueFd socket);
    void accepted(const std::shared_ptr<const EndpointRecord>& record, UniqueFd socket);
    void end_leases(const std::string& key);

    Monitor& monitor_;
    EndpointFolder folder_;
    std::map<std::string, std::unique_ptr<Endpoint>> open_;            // by id
    std::map<std::string, std::pair<EndpointRecord, UniqueFd>> held_;  // until settle()
    ContainerMarks marks_;
    std::size_t collect_at_ = 0;  // as many marks: look which cgroups are gone
};

}  // namespace iommud::monitor
