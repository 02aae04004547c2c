// One client: who it is, fixed at connect, and the worker that parses what it says.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "daemon/ipc/worker_messages.hpp"
#include "daemon/monitor/admission.hpp"
#include "daemon/monitor/async_channel.hpp"
#include "daemon/monitor/endpoint.hpp"
#include "daemon/monitor/identity.hpp"

namespace iommud::monitor {

class Monitor;

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    // `socket`: the client's; none for the system bus, which has no client of its own.
    // `via`: the endpoint that it came through; none for the host's sockets.
    Connection(Monitor& monitor, ConnectionKind kind, Identity who, UniqueFd socket,
               std::shared_ptr<const EndpointRecord> via = nullptr);
    // Somebody on the system bus, for one request. `bus` is the connection of the worker that vouches for him, and that
    // the answers go to.
    Connection(Monitor& monitor, Connection& bus, Identity who);
    ~Connection();

    // A connection costs one descriptor until its first byte: the worker is started then. One that stays silent is
    // closed.
    void wait_for_first_byte();
    void start_worker();

    [[nodiscard]] ConnectionKind kind() const { return kind_; }
    [[nodiscard]] bool admin() const { return kind_ == ConnectionKind::admin; }
    [[nodiscard]] const Identity& who() const { return who_; }
    [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
    [[nodiscard]] const std::shared_ptr<const EndpointRecord>& via() const { return via_; }
    // As whom it counts, as of connect.
    [[nodiscard]] const Admission::Party& party() const { return party_; }
    [[nodiscard]] std::optional<std::uint32_t> slot() const { return slot_; }
    [[nodiscard]] bool serving() const { return bus_ ? bus_->serving() : worker_ != nullptr; }
    // Not the kernel but the system bus's worker says who it is.
    [[nodiscard]] bool vouched() const { return bus_ != nullptr; }
    // Whose worker an answer goes to that comes later.
    [[nodiscard]] std::weak_ptr<Connection> answers_to() { return bus_ ? bus_ : weak_from_this(); }

    template <class Message>
    void send(const Message& message, std::vector<UniqueFd>&& fds = {}) {
        if (const auto& worker = bus_ ? bus_->worker_ : worker_) {
            worker->send(message, std::move(fds));
        }
    }
    void fail_request(std::uint64_t cookie, const Error& error);
    // An answer is on its way that the worker may give again.
    void remember_answer() { remembers_ = true; }
    // Takes back all such answers, if there are any.
    void forget_answers();

    // An administrator's: which container got its endpoint over this connection last. The id comes again with another
    // container, the key does not.
    void opened_endpoint(const std::string& id, std::string key) { opened_ = {id, std::move(key)}; }
    [[nodiscard]] bool has_opened(const std::string& id, const std::string& key) const {
        return !key.empty() && opened_ == std::pair(id, key);
    }

    // The worker has exited, or is to be cut off.
    void close();

  private:
    void first_byte();
    void drop_if_silent();
    void worker_ended(const std::string& why);

    Monitor& monitor_;
    ConnectionKind kind_;
    Identity who_;
    std::shared_ptr<const EndpointRecord> via_;
    std::shared_ptr<Connection> bus_;                             // of one who is vouched for
    std::string endpoint_;                                        // via_'s key; empty: the host's; or bus_endpoint
    Admission::Party party_;                                      // of none, for one who is vouched for
    UniqueFd socket_;                                             // until the worker has it
    std::optional<boost::asio::posix::stream_descriptor> watch_;  // borrows socket_
    boost::asio::steady_timer retry_;
    std::optional<std::uint32_t> slot_;
    std::shared_ptr<AsyncChannel> worker_;
    bool remembers_ = false;
    std::pair<std::string, std::string> opened_;
};

}  // namespace iommud::monitor
