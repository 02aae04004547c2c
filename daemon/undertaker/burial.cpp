#include "daemon/undertaker/burial.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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

// Undertakers have the limit of the vault's; monitor and vault have the same one.
std::size_t room_of_a_morgue() {
    constexpr rlim_t rest = 2 * Burial::most_in_a_batch;
    rlimit limit{};
    const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > rest;
    return known ? static_cast<std::size_t>(limit.rlim_cur - rest) : 0;
}

}  // namespace

Burial* Burial::the_one = nullptr;

Burial::Burial(std::function<void()> wake, std::function<Owner(uid_t)> owner_of)
    : wake_(std::move(wake)), owner_of_(std::move(owner_of)), morgue_room_(room_of_a_morgue()) {
    the_one = this;
    closing = {.own = bury_socket, .strange = bury};
}

Burial::~Burial() {
    for (auto& [id, undertaker] : undertakers_) {
        // Two batches, should it have one: nothing is waited for any more.
        if (!waiting_.empty() && !undertaker.lost && !undertaker.morgue && undertaker.told() && !undertaker.mark_owed &&
            give(undertaker, waiting_.begin()->first, most_in_a_batch)) {
            undertaker.mark_owed = true;
            static_cast<void>(undertaker.told());
        }
    }
    closing = {.own = leave_open, .strange = leave_open};
    the_one = nullptr;
    for (auto& [owner, descriptors] : waiting_) {
        for (UniqueFd& fd : descriptors) {
            static_cast<void>(fd.release());
        }
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
    bury_of(the_one->owner_of(fd), fd);
}

void Burial::let_go(Owner owner, UniqueFd fd) {
    if (the_one != nullptr && fd.valid()) {
        bury_of(owner, fd.release());
    }
}

void Burial::bury_of(Owner owner, int fd) {
    the_one->waiting_[owner].emplace_back(fd);
    ++the_one->waiting_count_;
    the_one->wake_();
}

// The credentials of who connected, or made the pair, of a socket: set once, by the kernel.
Burial::Owner Burial::owner_of(int fd) const {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid == 0 || peer.uid == ::getuid()) {
        return nobody;
    }
    return owner_of_ ? owner_of_(peer.uid) : peer.uid;
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

bool Burial::full(Id id) const {
    const auto found = undertakers_.find(id);
    return found != undertakers_.end() && found->second.full && !found->second.lost;
}

bool Burial::busy() const {
    return !waiting_.empty() || std::any_of(undertakers_.begin(), undertakers_.end(), [](const auto& entry) {
        return !entry.second.lost && entry.second.since.has_value();
    });
}

std::vector<Burial::Id> Burial::work(Clock::time_point now) {
    const auto longest = waiting_count_ > many ? short_patience : patience;
    for (auto& [id, undertaker] : undertakers_) {
        if (undertaker.lost || !undertaker.hears() || !undertaker.told()) {
            undertaker.lost = true;
        } else if (undertaker.since && now - *undertaker.since > longest) {
            undertaker.lost = true;
            fear(undertaker.owner);
        }
    }
    std::vector<Owner> owners;
    for (const auto& [owner, descriptors] : waiting_) {
        owners.push_back(owner);
    }
    // Whose turn it was goes last.
    std::rotate(owners.begin(), std::upper_bound(owners.begin(), owners.end(), served_last_), owners.end());
    for (const Owner owner : owners) {
        if (feared_.contains(owner)) {
            lay_out(owner);
        } else if (owner == nobody || !at_work_for(owner)) {
            share_out(owner, now);
        }
    }
    std::vector<Id> lost;
    for (auto& [id, undertaker] : undertakers_) {
        bool& reported = undertaker.lost ? undertaker.reported : undertaker.reported_full;
        if ((undertaker.lost || undertaker.full) && !std::exchange(reported, true)) {
            lost.push_back(id);
        }
    }
    return lost;
}

void Burial::fear(Owner owner) {
    constexpr std::size_t most = 4096;
    if (owner != nobody && feared_.size() < most) {
        feared_.insert(owner);
    }
}

std::vector<Burial::Undertaker*> Burial::idle() {
    std::vector<Undertaker*> found;
    for (auto& [id, undertaker] : undertakers_) {
        if (!undertaker.lost && !undertaker.since && !undertaker.morgue) {
            found.push_back(&undertaker);
        }
    }
    return found;
}

bool Burial::at_work_for(Owner owner) const {
    return std::any_of(undertakers_.begin(), undertakers_.end(), [owner](const auto& entry) {
        return !entry.second.lost && entry.second.since && entry.second.owner == owner;
    });
}

// To who has nothing to do. What is nobody's is shared by all of them, so that as little as can be waits for what else
// is in its batch.
void Burial::share_out(Owner owner, Clock::time_point now) {
    std::vector<Undertaker*> free = idle();
    free.resize(std::min<std::size_t>(free.size(), owner == nobody ? free.size() : 1));
    for (std::size_t left = free.size(); left > 0 && waiting_.contains(owner); --left) {
        Undertaker& undertaker = *free[left - 1];
        const std::size_t share = (waiting_[owner].size() + left - 1) / left;
        const std::size_t before = waiting_count_;
        if (!give(undertaker, owner, std::min(share, most_in_a_batch))) {
            undertaker.lost = true;
        } else if (waiting_count_ != before) {
            served_last_ = owner;
            undertaker.since = now;
            undertaker.owner = owner;
            undertaker.mark_owed = true;
            undertaker.lost = !undertaker.told();
        }
    }
}

Burial::Undertaker* Burial::morgue() {
    std::size_t morgues = 0;
    for (auto& [id, undertaker] : undertakers_) {
        if (undertaker.morgue && !undertaker.lost) {
            if (!undertaker.full) {
                return &undertaker;
            }
            ++morgues;
        }
    }
    const std::vector<Undertaker*> free = idle();
    if (free.empty() || morgues >= most_morgues) {
        return nullptr;
    }
    free.front()->morgue = true;
    return free.front();
}

void Burial::lay_out(Owner owner) {
    constexpr std::size_t most_unread = 2;
    Undertaker* undertaker = nullptr;
    while (waiting_.contains(owner) && (undertaker = morgue()) != nullptr && undertaker->unread < most_unread) {
        const std::size_t before = waiting_count_;
        if (undertaker->held + most_in_a_batch > morgue_room_) {
            undertaker->full = true;
            return;  // its successor comes soon
        }
        if (!give(*undertaker, owner, most_in_a_batch)) {
            undertaker->lost = true;
            return;
        }
        if (waiting_count_ == before) {
            return;
        }
        undertaker->held += before - waiting_count_;
        ++undertaker->unread;
    }
}

bool Burial::Undertaker::hears() {
    ipc::Packet packet;
    for (;;) {
        switch (channel.receive(packet, 0)) {
            case ipc::ReceiveResult::packet:
                if (packet.bytes != std::vector{std::byte{static_cast<std::uint8_t>(UndertakerWord::received)}}) {
                    since.reset();
                } else if (unread > 0) {
                    --unread;
                }
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

// What cannot be sent now waits on, the first of it behind all others: the kernel may refuse one for what it is.
bool Burial::give(Undertaker& undertaker, Owner owner, std::size_t size) {
    const auto queue = waiting_.find(owner);
    std::deque<UniqueFd>& descriptors = queue->second;
    std::vector<BorrowedFd> fds;
    for (std::size_t i = 0; i < std::min(size, descriptors.size()); ++i) {
        fds.push_back(descriptors[i].borrow());
    }
    switch (undertaker.channel.send_bytes(one_byte, fds)) {
        case ipc::SendResult::sent:
            for (std::size_t i = 0; i < fds.size(); ++i) {
                close_here(descriptors.front().release());  // not the last: a copy is under way
                descriptors.pop_front();
                --waiting_count_;
            }
            if (descriptors.empty()) {
                waiting_.erase(queue);
            }
            return true;
        case ipc::SendResult::full:
            descriptors.push_back(std::move(descriptors.front()));
            descriptors.pop_front();
            return true;
        case ipc::SendResult::closed:
        case ipc::SendResult::failed:
            break;
    }
    return false;
}

}  // namespace iommud
