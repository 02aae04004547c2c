// An ipc::Channel in the reactor: packets come in by a callback, frames go out at once or through a bounded queue.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "daemon/ipc/channel.hpp"

namespace iommud::monitor {

class AsyncChannel : public std::enable_shared_from_this<AsyncChannel> {
  public:
    static constexpr const char* hung_up = "hung up";  // the `why` of a peer that has just gone

    struct Handlers {
        std::function<void(ipc::Packet&)> packet;
        // Once: the peer hung up, misbehaved or does not read. Nothing is called afterwards.
        std::function<void(const std::string& why)> ended;
    };
    struct Limits {
        std::size_t most_fds = 0;               // in one packet from the peer
        std::size_t most_queued = 1024 * 1024;  // bytes that wait for the peer to read
    };

    // Starts to read at once. The handlers are dropped by close() and when the channel has ended.
    static std::shared_ptr<AsyncChannel> open(boost::asio::io_context& io, ipc::Channel channel, Limits limits,
                                              Handlers handlers);
    AsyncChannel(boost::asio::io_context& io, ipc::Channel channel, Limits limits, Handlers handlers);
    ~AsyncChannel();

    // Never waits. A peer that leaves more than `most_queued` bytes unread ends the channel.
    template <class Message>
    void send(const Message& message, std::vector<UniqueFd>&& fds = {}) {
        send_bytes(ipc::encode(message), std::move(fds));
    }
    void send_bytes(ipc::Bytes frame, std::vector<UniqueFd> fds);
    // Gives the handler at once what the peer has sent already, when somebody else says what has become of the peer:
    // two channels have no order between them. At most 64 packets, of a peer that lives on.
    void read_what_is_there();
    void close();

  private:
    struct Queued {
        ipc::Bytes frame;
        std::vector<UniqueFd> fds;
    };

    void wait_readable();
    // Whether there was a packet, which the handler has had; an end is handled, too.
    bool receive();
    void read_one();
    void wait_writable();
    void write_queued();
    void end(const std::string& why);
    [[nodiscard]] ipc::SendResult try_send(const Queued& item) const;

    ipc::Channel channel_;
    boost::asio::posix::stream_descriptor descriptor_;  // borrows channel_'s socket: released, never closed
    Limits limits_;
    Handlers handlers_;
    std::deque<Queued> queue_;
    std::size_t queued_bytes_ = 0;
};

}  // namespace iommud::monitor
