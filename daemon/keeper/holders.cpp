#include "daemon/keeper/holders.hpp"

#include <algorithm>

#include "daemon/keeper/lease_frames.hpp"

namespace iommud::keeper {
namespace {

// Each request gets an answer. A client that goes on writing gets a hang-up.
void answer_the_rest(const LeaseChannel& channel, Parked& parked) {
    for (int left = most_queued; left > 0 && !parked.full(); --left) {
        LeaseRequest request;
        const LeaseReceive received = channel.receive(request, parked);
        parked.let_go(std::move(request.descriptor));  // of a packet that is no request, too
        if (received != LeaseReceive::request ||
            channel.send(make_reply(request.request, IOMMUD_ERROR_LEASE_REVOKED, 0)) != LeaseSend::sent) {
            return;
        }
    }
}

}  // namespace

std::uint32_t Holders::count() const {
    return static_cast<std::uint32_t>(
        std::count_if(channels_.begin(), channels_.end(), [](const LeaseChannel& channel) { return channel.open(); }));
}

Result<UniqueFd> Holders::add() {
    const auto slot =
        std::find_if(channels_.begin(), channels_.end(), [](const LeaseChannel& channel) { return !channel.open(); });
    if (slot == channels_.end()) {
        return fail(ErrorCode::lease_limit, "a lease has at most " + std::to_string(most_channels) + " channels");
    }
    auto made = LeaseChannel::make();
    if (!made) {
        return tl::unexpected(made.error());
    }
    *slot = std::move(made->first);
    return std::move(made->second);
}

bool Holders::tell(const iommud_reply& event) const {
    return std::all_of(channels_.begin(), channels_.end(), [&event](const LeaseChannel& channel) {
        return !channel.open() || channel.send(event) != LeaseSend::ended;
    });
}

void Holders::dismiss(std::optional<std::size_t> released_by, const iommud_reply& reply, Parked& parked) {
    const iommud_reply revoked = make_event(IOMMUD_REVOKED, 0);
    for (std::size_t index = 0; index < channels_.size(); ++index) {
        const LeaseChannel& channel = channels_[index];
        if (channel.open() && channel.send(index == released_by ? reply : revoked) == LeaseSend::sent) {
            answer_the_rest(channel, parked);
        }
    }
}

void Holders::close(Parked& parked) {
    for (LeaseChannel& channel : channels_) {
        if (channel.open()) {
            answer_the_rest(channel, parked);  // what came since
        }
        channel.close();
    }
}

bool Holders::has_end(BorrowedFd descriptor) const {
    return std::any_of(channels_.begin(), channels_.end(),
                       [descriptor](const LeaseChannel& channel) { return channel.ends_in(descriptor); });
}

}  // namespace iommud::keeper
