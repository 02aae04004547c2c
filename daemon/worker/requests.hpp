// Requests on their way: from a D-Bus call to a frame to the monitor, and from its answer to the D-Bus reply.
#pragma once

#include "daemon/worker/bus_reactor.hpp"
#include "daemon/worker/explain_cache.hpp"
#include "daemon/worker/monitor_stub.hpp"
#include "daemon/worker/replica.hpp"
#include "daemon/worker/request_book.hpp"
#include "daemon/worker/senders.hpp"
#include "daemon/worker/signals.hpp"

namespace iommud::worker {

class Requests {
  public:
    // All outlive this.
    Requests(boost::asio::io_context& io, sd_bus* bus, BusReactor& reactor, MonitorStub& monitor, Replica& replica,
             Signals& signals)
        : io_(io), bus_(bus), reactor_(reactor), monitor_(monitor), replica_(replica), signals_(signals), later_(io) {}

    // Sends `request` with a cookie of its own, and keeps `call` until the answer comes. `devices` are those asked for.
    template <class Request>
    [[nodiscard]] Result<void> begin(sd_bus_message* call, RequestKind kind, Request request,
                                     std::vector<PciAddress> devices = {}) {
        Pending pending;
        pending.kind = kind;
        pending.devices = std::move(devices);
        return ask(call, std::move(pending), std::move(request));
    }
    // As begin(), or answers at once with what is known to hold.
    [[nodiscard]] Result<void> explain(sd_bus_message* call, ipc::ExplainRequest request);
    // On the system bus: answers `call` from what is known here, once it is known whose it is.
    [[nodiscard]] Result<void> answer_whom(
        sd_bus_message* call, std::function<Result<MessagePtr>(sd_bus_message* call, std::uint32_t uid)> answer);
    // Each request is whoever's the bus says sent it, and waits for that. Throws Fatal.
    void ask_who_sends(CallbackFailure& failure);

    void on(const ipc::RequestFailed& answer);
    void on(const ipc::RequestDone& answer);
    void on(ipc::ExplainEntries answer);
    void on(const ipc::AccountsEntries& answer);
    void on(ipc::PolicyEntries answer);
    void on(const ipc::EndpointOpened& answer);
    void on(const ipc::ForgetAnswers&) { explained_.forget(); }
    // `end` is where the keeper's Delivery will stand.
    void on(ipc::DeliveryComing answer, UniqueFd end);
    void lease_gone(LeaseId lease);
    // After frames: emits the signals of what they have changed; within 20 ms when somebody was answered, who goes on.
    void emit_signals();

  private:
    template <class Request>
    [[nodiscard]] Result<void> ask(sd_bus_message* call, Pending pending, Request request) {
        pending.call = MessagePtr(sd_bus_message_ref(call));
        const auto cookie = book_.open(std::move(pending));
        if (!cookie) {
            return tl::unexpected(cookie.error());
        }
        request.cookie = *cookie;
        return senders_ ? ask_first(*cookie, call, ipc::encode(request)) : sent(*cookie, monitor_.send(request));
    }
    [[nodiscard]] Result<void> ask_first(std::uint64_t cookie, sd_bus_message* call, ipc::Bytes frame);
    void known(std::uint64_t cookie, const Vouched& who);
    void close(std::uint64_t cookie);
    [[nodiscard]] Result<void> sent(std::uint64_t cookie, ipc::SendResult result);
    void wait_for_delivery(std::uint64_t cookie, DeliveryWait& wait);
    void read_delivery(std::uint64_t cookie);
    void finish_delivery(std::uint64_t cookie, Pending& pending, const ipc::Packet& packet);
    void finish(std::uint64_t cookie, const MessagePtr& reply);
    void fail_request(std::uint64_t cookie, const Pending& pending, const Error& error);

    boost::asio::io_context& io_;
    sd_bus* bus_;
    BusReactor& reactor_;
    MonitorStub& monitor_;
    Replica& replica_;
    Signals& signals_;
    RequestBook book_;
    ExplainCache explained_;
    std::optional<Senders> senders_;   // on the system bus
    bool answered_ = false;            // since the last emit_signals()
    boost::asio::steady_timer later_;  // signals
    bool waiting_ = false;             // the timer runs
};

}  // namespace iommud::worker
