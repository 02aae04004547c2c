// The keeper's half that faces the clients: one packet from a lease channel, and its answer.
#include <cerrno>

#include "daemon/keeper/failpoint.hpp"
#include "daemon/keeper/keeper.hpp"

namespace iommud::keeper {

void Keeper::handle_channel(std::size_t index) {
    LeaseRequest request;
    switch (holders_.at(index).receive(request, parked_)) {
        case LeaseReceive::request:
            answer(index, request);
            break;
        case LeaseReceive::empty:
            break;
        case LeaseReceive::closed:
            lost_channel(index);
            break;
        case LeaseReceive::ended:
            begin_release();
            break;
    }
    let_go(std::move(request.descriptor));
}

// A close that waits for somebody would keep this lease from being taken back. A client that sends much of what may
// wait ends its lease.
void Keeper::let_go(UniqueFd descriptor) {
    if (!descriptor.valid() || holders_.has_end(descriptor.borrow())) {
        return;
    }
    failpoint("park");
    parked_.let_go(std::move(descriptor));
    if (stage_ == Stage::draining || stage_ == Stage::done) {
        // The answer began the release, which came this far: nobody else closes what may be a device.
        if (direct() && !abandoned_ && parked_.any()) {
            leave(ipc::KeeperWord::leaving);
        }
        parked_.close();
    } else if (parked_.full()) {
        begin_release();
    }
}

void Keeper::answer(std::size_t index, LeaseRequest& request) {
    const LeaseChannel& channel = holders_.at(index);
    if (!well_formed(request.request, request.descriptor.valid())) {
        sent(channel.send(
            make_reply(request.request, IOMMUD_ERROR_INVALID_ARGUMENT, fault_value(IOMMUD_ARGUMENT_FIELD))));
        return;
    }
    if (direct() && (request.request.op == IOMMUD_MAP || request.request.op == IOMMUD_UNMAP)) {
        sent(channel.send(make_reply(request.request, IOMMUD_ERROR_UNSUPPORTED_MODE, 0)));
        return;
    }
    switch (request.request.op) {
        case IOMMUD_MAP:
            failpoint("map");
            answer_map(channel, request);
            reporter_.set_mapped(memory_.mapped(), memory_.maps(), Clock::now());
            return;
        case IOMMUD_UNMAP:
            sent(channel.send(memory_.unmap(request.request)));
            reporter_.set_mapped(memory_.mapped(), memory_.maps(), Clock::now());
            return;
        case IOMMUD_QUERY:
            sent(channel.send(memory_.query(request.request, holders_.count())));
            return;
        case IOMMUD_DUP:
            answer_dup(index, request.request);
            return;
        default:  // parse_request lets nothing else through
            released_by_ = index;
            released_reply_ = make_reply(request.request, IOMMUD_ERROR_NONE, 0);
            begin_release();
            return;
    }
}

void Keeper::answer_map(const LeaseChannel& channel, LeaseRequest& request) {
    const iommud_reply reply = memory_.map(request.request, request.descriptor.borrow());
    sent(channel.send(reply));
    if (reply.error == IOMMUD_ERROR_NONE) {
        request.descriptor.reset();  // it is a memfd, of which no close waits
    }
}

void Keeper::answer_dup(std::size_t index, const iommud_request& request) {
    const LeaseChannel& channel = holders_.at(index);
    if (holders_.full()) {
        sent(channel.send(make_reply(request, IOMMUD_ERROR_CHANNEL_LIMIT, most_channels)));
        return;
    }
    const auto other_end = holders_.add();
    if (!other_end) {
        sent(channel.send(make_reply(request, IOMMUD_ERROR_KERNEL, EMFILE)));
        return;
    }
    // Where it is not sent, its only copy closes here, and the new channel hangs up.
    sent(channel.send(make_reply(request, IOMMUD_ERROR_NONE, 0), other_end->borrow()));
}

void Keeper::sent(LeaseSend outcome) {
    switch (outcome) {
        case LeaseSend::sent:
        case LeaseSend::closed:  // what it asked before it went was done; its hang-up is read in turn
            return;
        case LeaseSend::ended:
            begin_release();
            return;
    }
}

// An empty packet looks like the end of the channel, and others may lie behind it. Their descriptors are not closed
// with it, which might take for ever: the channel is read to its true end, or else the lease ends first.
void Keeper::lost_channel(std::size_t index) {
    const LeaseChannel& channel = holders_.at(index);
    LeaseReceive received = channel.shut_down() ? LeaseReceive::empty : LeaseReceive::ended;
    for (int left = most_queued;
         left > 0 && stage_ == Stage::serving && received != LeaseReceive::ended && received != LeaseReceive::closed;
         --left) {
        LeaseRequest request;
        received = channel.receive(request, parked_);
        let_go(std::move(request.descriptor));
    }
    if (stage_ == Stage::serving && received != LeaseReceive::closed) {
        begin_release();  // which closes
    }
    if (stage_ != Stage::serving) {
        return;
    }
    holders_.at(index).close();
    if (holders_.count() == 0) {
        begin_release();
    }
}

}  // namespace iommud::keeper
