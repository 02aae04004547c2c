#include "daemon/undertaker/burial.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>

namespace iommud {
namespace {

constexpr std::array<std::byte, 1> one_byte{};

void leave_open(int) {}

bool is_socket(int fd) {
    int domain = 0;
    socklen_t size = sizeof domain;
    return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0;  // fstat(2) could wait for a FUSE server
}

}  // namespace

Burial* Burial::the_one = nullptr;

Burial::Burial(std::function<void()> wake) : wake_(std::move(wake)) {
    the_one = this;
    closing = {.own = bury_socket, .strange = bury};
}

Burial::~Burial() {
    for (auto& [id, undertaker] : undertakers_) {
        // Two batches, should it have one: nothing is waited for any more.
        if (!undertaker.lost && undertaker.told() && !undertaker.mark_owed && !waiting_.empty() &&
            give_batch(undertaker, most_in_a_batch, {})) {
            static_cast<void>(undertaker.told());
        }
    }
    closing = {.own = leave_open, .strange = leave_open};
    the_one = nullptr;
    for (UniqueFd& fd : waiting_) {
        static_cast<void>(fd.release());
    }
}

void Burial::bury_socket(int fd) {
    if (is_socket(fd)) {
        bury(fd);
    } else {
        close_here(fd);
    }
}

void Burial::bury(int fd) {
    the_one->waiting_.emplace_back(fd);
    the_one->wake_();
}

void Burial::hire(Id id, ipc::Channel channel) {
    undertakers_[id].channel = std::move(channel);
}

BorrowedFd Burial::channel(Id id) const {
    const auto found = undertakers_.find(id);
    return found == undertakers_.end() ? BorrowedFd() : found->second.channel.fd();
}

void Burial::forget(Id id) {
    if (auto gone = undertakers_.extract(id); !gone.empty()) {
        // Nobody but an undertaker could have written to it.
        close_here(gone.mapped().channel.take().release());
    }
}

bool Burial::busy() const {
    return !waiting_.empty() || std::any_of(undertakers_.begin(), undertakers_.end(), [](const auto& entry) {
        return !entry.second.lost && entry.second.since.has_value();
    });
}

std::size_t Burial::idle() const {
    return static_cast<std::size_t>(std::count_if(undertakers_.begin(), undertakers_.end(), [](const auto& entry) {
        return !entry.second.lost && !entry.second.since;
    }));
}

std::vector<Burial::Id> Burial::work(Clock::time_point now) {
    std::vector<Id> lost;
    const auto longest = waiting_.size() > many ? short_patience : patience;
    for (auto& [id, undertaker] : undertakers_) {
        if (undertaker.lost) {
            continue;
        }
        const bool there = undertaker.hears() && undertaker.told();
        if (!there || (undertaker.since && now - *undertaker.since > longest)) {
            undertaker.lost = true;
            lost.push_back(id);
        }
    }
    std::size_t left = idle();
    for (auto& [id, undertaker] : undertakers_) {
        if (waiting_.empty() || left == 0) {
            break;
        }
        if (undertaker.lost || undertaker.since) {
            continue;
        }
        // A share each: one stranger's descriptors are held up by as few others' as can be, and by each other.
        const std::size_t share = std::min((waiting_.size() + left - 1) / left, most_in_a_batch);
        --left;
        if (!give_batch(undertaker, share, now) || !undertaker.told()) {
            undertaker.lost = true;
            lost.push_back(id);
        }
    }
    return lost;
}

// An acknowledgement is a packet of any content.
bool Burial::Undertaker::hears() {
    ipc::Packet packet;
    for (;;) {
        switch (channel.receive(packet, 0)) {
            case ipc::ReceiveResult::packet:
                since.reset();
                break;
            case ipc::ReceiveResult::empty:
                return true;
            case ipc::ReceiveResult::closed:
            case ipc::ReceiveResult::malformed:
                return false;
        }
    }
}

bool Burial::Undertaker::told() {
    if (!mark_owed) {
        return true;
    }
    const ipc::SendResult result = channel.send_bytes(one_byte);
    mark_owed = result == ipc::SendResult::full;
    return result == ipc::SendResult::sent || result == ipc::SendResult::full;
}

// False: it has hung up. A batch that cannot be sent now waits on, the first of it behind all others: the kernel may
// refuse one for what it is.
bool Burial::give_batch(Undertaker& undertaker, std::size_t size, Clock::time_point now) {
    std::vector<BorrowedFd> fds;
    for (std::size_t i = 0; i < std::min(size, waiting_.size()); ++i) {
        fds.push_back(waiting_[i].borrow());
    }
    switch (undertaker.channel.send_bytes(one_byte, fds)) {
        case ipc::SendResult::sent:
            for (std::size_t i = 0; i < fds.size(); ++i) {
                close_here(waiting_.front().release());  // not the last: a copy is under way until the mark
                waiting_.pop_front();
            }
            undertaker.since = now;
            undertaker.mark_owed = true;
            return true;
        case ipc::SendResult::full:
            waiting_.push_back(std::move(waiting_.front()));
            waiting_.pop_front();
            return true;
        case ipc::SendResult::closed:
        case ipc::SendResult::failed:
            break;
    }
    return false;
}

}  // namespace iommud
