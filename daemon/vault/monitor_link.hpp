// The vault's socket and the one monitor that may be connected to it. Nothing here waits: frames that the monitor does
// not take queue up to a bound, beyond which it is dropped.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "daemon/ipc/channel.hpp"

namespace iommud::vault {

class MonitorLink {
  public:
    // Listens on RUN/vault/monitor, for processes of `peer_uid`. Throws Fatal.
    MonitorLink(const std::string& run, uid_t peer_uid);

    [[nodiscard]] BorrowedFd listener() const { return listener_.borrow(); }
    [[nodiscard]] BorrowedFd connection() const { return channel_.fd(); }
    [[nodiscard]] bool connected() const { return channel_.open(); }
    // Counts up with each connection that was accepted.
    [[nodiscard]] std::uint64_t generation() const { return generation_; }
    [[nodiscard]] bool has_queue() const { return !queue_.empty(); }

    // Takes one waiting connection; true when it is the monitor's now, false when it was refused or there was none.
    [[nodiscard]] bool accept();
    [[nodiscard]] ipc::ReceiveResult receive(ipc::Packet& packet) const;
    void drop();

    // Sends or queues copies; without a monitor it goes nowhere. False: the monitor is to be dropped.
    template <class Message>
    [[nodiscard]] bool tell(const Message& message, std::span<const BorrowedFd> fds = {}) {
        return enqueue(ipc::encode(message), fds) && flush();
    }
    [[nodiscard]] bool flush();

  private:
    struct Waiting {
        ipc::Bytes bytes;
        std::vector<UniqueFd> fds;
    };
    [[nodiscard]] bool enqueue(ipc::Bytes bytes, std::span<const BorrowedFd> fds);

    uid_t peer_uid_;
    UniqueFd listener_;
    ipc::Channel channel_;
    std::uint64_t generation_ = 0;
    std::deque<Waiting> queue_;
};

}  // namespace iommud::vault
