#include "daemon/worker/requests.hpp"

#include <fmt/format.h>

#include <iterator>

#include "daemon/base/log.hpp"
#include "daemon/worker/bus_error.hpp"
#include "daemon/worker/replies.hpp"

namespace iommud::worker {
namespace {

// Of an answer in several frames: far above what a policy or a host has.
constexpr std::size_t most_entries = 65'536;

template <class List>
void append_bounded(List& to, List from) {
    if (to.size() + from.size() > most_entries) {
        throw Fatal("an answer of the monitor does not end");
    }
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

void Requests::ask_who_sends(CallbackFailure& failure) {
    book_ = RequestBook(most_pending_on_bus);
    senders_.emplace(
        bus_, failure,
        Senders::Handlers{.known = [this](std::uint64_t cookie, const Vouched& who) { known(cookie, who); },
                          .refused =
                              [this](std::uint64_t cookie, const Error& error) {
                                  if (const Pending* const pending = book_.find(cookie)) {
                                      fail_request(cookie, *pending, error);
                                  }
                              },
                          // With the delivery, if there is one: its lease ends by that.
                          .vanished = [this](std::uint64_t cookie) { close(cookie); },
                          .name_lost = [this] { io_.stop(); }});
}

Result<void> Requests::ask_first(std::uint64_t cookie, sd_bus_message* call, ipc::Bytes frame) {
    book_.find(cookie)->frame = std::move(frame);
    Result<void> asked = senders_->ask(cookie, call);
    if (!asked) {
        close(cookie);
    }
    return asked;
}

Result<void> Requests::answer_whom(sd_bus_message* call,
                                   std::function<Result<MessagePtr>(sd_bus_message* call, std::uint32_t uid)> answer) {
    Pending pending;
    pending.kind = RequestKind::lease_property;
    pending.call = MessagePtr(sd_bus_message_ref(call));
    pending.answer = std::move(answer);
    const auto cookie = book_.open(std::move(pending));
    return cookie ? ask_first(*cookie, call, {}) : tl::unexpected(cookie.error());
}

Result<void> Requests::explain(sd_bus_message* call, ipc::ExplainRequest request) {
    // A change that the client has heard of is here already, if perhaps unread; one that it has asked for is pending.
    const ipc::ExplainEntries* const known = book_.size() == 0 ? explained_.find(request) : nullptr;
    if (known != nullptr && !monitor_.has_unread()) {
        send(bus_, explain_reply(call, *known).get());
        return {};
    }
    Pending pending;
    pending.kind = RequestKind::explain;
    pending.question = request;
    return ask(call, std::move(pending), std::move(request));
}

void Requests::known(std::uint64_t cookie, const Vouched& who) {
    const Pending* const pending = book_.find(cookie);
    if (pending == nullptr) {
        return;
    }
    if (pending->kind != RequestKind::lease_property) {
        const ipc::SendResult result = monitor_.send(
            ipc::VouchedRequest{.cookie = cookie, .uid = who.uid, .groups = who.groups, .request = pending->frame});
        const MessagePtr call(sd_bus_message_ref(pending->call.get()));
        if (const Result<void> taken = sent(cookie, result); !taken) {
            reply_error(bus_, call.get(), taken.error());
        }
        return;
    }
    const Result<MessagePtr> reply = pending->answer(pending->call.get(), who.uid);
    return reply ? finish(cookie, *reply) : fail_request(cookie, *pending, reply.error());
}

void Requests::close(std::uint64_t cookie) {
    book_.close(cookie);
    if (senders_) {
        senders_->done(cookie);
    }
}

Result<void> Requests::sent(std::uint64_t cookie, ipc::SendResult result) {
    switch (result) {
        case ipc::SendResult::sent:
        case ipc::SendResult::closed:  // its hang-up ends the worker in a moment, and the client sees that
            return {};
        case ipc::SendResult::full:
        case ipc::SendResult::failed:
            break;
    }
    close(cookie);
    return fail(ErrorCode::internal, "the daemon does not take requests at the moment");
}

void Requests::on(const ipc::RequestFailed& answer) {
    if (const Pending* const pending = book_.find(answer.cookie)) {
        fail_request(answer.cookie, *pending, Error{answer.code, answer.message});
    }
}

void Requests::on(const ipc::RequestDone& answer) {
    const auto kinds = {RequestKind::release, RequestKind::revoke, RequestKind::reload, RequestKind::close_endpoint};
    if (const Pending* const pending = book_.find(answer.cookie, kinds)) {
        finish(answer.cookie, empty_reply(pending->call.get()));
    }
}

void Requests::on(ipc::ExplainEntries answer) {
    Pending* const pending = book_.find(answer.cookie, {RequestKind::explain});
    if (pending == nullptr) {
        return;
    }
    ipc::ExplainEntries& whole = pending->explain;
    append_bounded(whole.trace, std::move(answer.trace));
    if (answer.last) {
        whole.allowed = answer.allowed;
        whole.decision = std::move(answer.decision);
        const MessagePtr reply = explain_reply(pending->call.get(), whole);
        if (answer.lasting && !senders_) {  // on the system bus everybody asks here
            explained_.keep(std::move(pending->question), std::move(whole));
        }
        finish(answer.cookie, reply);
    }
}

void Requests::on(const ipc::AccountsEntries& answer) {
    Pending* const pending = book_.find(answer.cookie, {RequestKind::accounts});
    if (pending == nullptr) {
        return;
    }
    append_bounded(pending->accounts, answer.accounts);
    if (answer.last) {
        finish(answer.cookie, accounts_reply(pending->call.get(), pending->accounts));
    }
}

void Requests::on(const ipc::EndpointOpened& answer) {
    if (const Pending* const pending = book_.find(answer.cookie, {RequestKind::open_endpoint})) {
        finish(answer.cookie, endpoint_reply(pending->call.get(), answer.path));
    }
}

void Requests::on(ipc::PolicyEntries answer) {
    Pending* const pending = book_.find(answer.cookie, {RequestKind::policy});
    if (pending == nullptr) {
        return;
    }
    append_bounded(pending->policy.entries, std::move(answer.entries));
    if (answer.last) {
        finish(answer.cookie, policy_reply(pending->call.get(), pending->policy));
    }
}

void Requests::on(ipc::DeliveryComing answer, UniqueFd end) {
    Pending* const pending = book_.find(answer.cookie, {RequestKind::acquire, RequestKind::add});
    if (pending == nullptr) {
        return;
    }
    if (pending->lease != 0 || answer.lease.record.id == 0) {
        throw Fatal("the monitor announces a second delivery, or one of no lease");
    }
    pending->lease = answer.lease.record.id;
    pending->view = std::move(answer.lease);
    pending->wait = std::make_unique<DeliveryWait>(io_, std::move(end));
    wait_for_delivery(answer.cookie, *pending->wait);
}

void Requests::wait_for_delivery(std::uint64_t cookie, DeliveryWait& wait) {
    // By cookie: the request may have failed, and be gone, before a queued event is handled.
    wait.watch.when_readable([this, cookie](const boost::system::error_code& error) {
        if (!error) {
            read_delivery(cookie);
            emit_signals();
            reactor_.flush();
        }
    });
}

// Gathered, as the monitor's views are: who takes a lease for a moment does not wait for the signals of it.
void Requests::emit_signals() {
    constexpr std::chrono::milliseconds coalesce_for{20};
    if (!std::exchange(answered_, false)) {
        return signals_.emit();
    }
    if (!signals_.kept() || std::exchange(waiting_, true)) {
        return;
    }
    later_.expires_after(coalesce_for);
    later_.async_wait([this](const boost::system::error_code& error) {
        waiting_ = false;
        if (!error) {
            signals_.emit();
            reactor_.flush();
        }
    });
}

void Requests::read_delivery(std::uint64_t cookie) {
    Pending* const pending = book_.find(cookie);
    if (pending == nullptr || pending->wait == nullptr) {
        return;
    }
    ipc::Packet packet;
    switch (pending->wait->channel.receive(packet)) {
        case ipc::ReceiveResult::packet:
            return finish_delivery(cookie, *pending, packet);
        case ipc::ReceiveResult::empty:
            return wait_for_delivery(cookie, *pending->wait);
        case ipc::ReceiveResult::closed:
            pending->wait.reset();  // the keeper gave nothing: the monitor says why
            return;
        case ipc::ReceiveResult::malformed:
            return fail_request(cookie, *pending,
                                Error{ErrorCode::internal, "the keeper's delivery cannot be received"});
    }
}

void Requests::finish_delivery(std::uint64_t cookie, Pending& pending, const ipc::Packet& packet) {
    const auto delivery = ipc::decode<ipc::Delivery>(packet.bytes);
    const std::optional<std::string> fault =
        delivery ? delivery_fault(*delivery, packet.fds.size(), pending.lease, pending.devices)
                 : std::optional<std::string>("it is malformed");
    if (fault) {
        return fail_request(cookie, pending, Error{ErrorCode::internal, "the keeper's delivery is wrong: " + *fault});
    }
    const LeaseId lease = pending.lease;
    const Delivered delivered = replica_.delivered(lease, pending.view);
    finish(cookie, pending.kind == RequestKind::acquire
                       ? acquire_reply(pending.call.get(), pending.lease, delivery->names, packet.fds, pending.devices,
                                       replica_)
                       : add_reply(pending.call.get(), delivery->names, packet.fds));
    signals_.lease(lease, delivered.lease);
    for (const PciAddress& device : delivered.devices) {
        signals_.device(device, {.added = false, .properties = {"State", "Lease"}});
    }
}

void Requests::lease_gone(LeaseId lease) {
    book_.forget_view(lease);
}

void Requests::finish(std::uint64_t cookie, const MessagePtr& reply) {
    close(cookie);
    send(bus_, reply.get());
    answered_ = true;
}

void Requests::fail_request(std::uint64_t cookie, const Pending& pending, const Error& error) {
    reply_error(bus_, pending.call.get(), error);
    close(cookie);
    answered_ = true;
}

}  // namespace iommud::worker
