#include "daemon/monitor/async_channel.hpp"

#include <boost/asio/post.hpp>

namespace iommud::monitor {

std::shared_ptr<AsyncChannel> AsyncChannel::open(boost::asio::io_context& io, ipc::Channel channel, Limits limits,
                                                 Handlers handlers) {
    auto opened = std::make_shared<AsyncChannel>(io, std::move(channel), limits, std::move(handlers));
    opened->wait_readable();
    return opened;
}

AsyncChannel::AsyncChannel(boost::asio::io_context& io, ipc::Channel channel, Limits limits, Handlers handlers)
    : channel_(std::move(channel)),
      descriptor_(io, channel_.fd().get()),
      limits_(limits),
      handlers_(std::move(handlers)) {}

AsyncChannel::~AsyncChannel() {
    close();
}

void AsyncChannel::close() {
    handlers_ = {};
    queue_.clear();
    queued_bytes_ = 0;
    if (descriptor_.is_open()) {
        descriptor_.release();
    }
    channel_.close();
}

void AsyncChannel::end(const std::string& why) {
    const auto ended = std::move(handlers_.ended);
    close();
    if (ended) {
        ended(why);
    }
}

void AsyncChannel::wait_readable() {
    descriptor_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                           [weak = weak_from_this()](const boost::system::error_code& error) {
                               if (const auto self = weak.lock(); self && !error && self->channel_.open()) {
                                   self->read_one();
                               }
                           });
}

bool AsyncChannel::receive() {
    ipc::Packet packet;
    switch (channel_.receive(packet, limits_.most_fds)) {
        case ipc::ReceiveResult::packet:
            handlers_.packet(packet);
            return true;
        case ipc::ReceiveResult::empty:
            break;
        case ipc::ReceiveResult::closed:
            end(hung_up);
            break;
        case ipc::ReceiveResult::malformed:
            end("sent a packet too large or with too many descriptors");
            break;
    }
    return false;
}

void AsyncChannel::read_one() {
    const auto keep_alive = shared_from_this();  // a handler may drop the last reference
    // One at a time: mostly there is no second one, and wait_readable() tells at once when there is.
    (void)receive();
    if (channel_.open()) {
        wait_readable();
    }
}

void AsyncChannel::read_what_is_there() {
    constexpr int most_packets = 64;
    const auto keep_alive = shared_from_this();
    for (int i = 0; i < most_packets && channel_.open() && receive(); ++i) {
    }
}

ipc::SendResult AsyncChannel::try_send(const Queued& item) const {
    std::vector<BorrowedFd> fds;
    fds.reserve(item.fds.size());
    for (const UniqueFd& fd : item.fds) {
        fds.push_back(fd.borrow());
    }
    return channel_.send_bytes(item.frame, fds);
}

void AsyncChannel::send_bytes(ipc::Bytes frame, std::vector<UniqueFd> fds) {
    if (!channel_.open()) {
        return;  // it has ended; whoever sends hears of that by `ended`
    }
    Queued item{std::move(frame), std::move(fds)};
    if (queue_.empty()) {
        const ipc::SendResult result = try_send(item);
        if (result == ipc::SendResult::sent || result == ipc::SendResult::closed) {
            return;  // closed: what it said before is still to be read, then `ended` follows
        }
        if (result == ipc::SendResult::failed) {
            boost::asio::post(descriptor_.get_executor(), [weak = weak_from_this()] {
                if (const auto self = weak.lock()) {
                    self->end("cannot be sent to");
                }
            });
            return;
        }
        wait_writable();
    }
    queued_bytes_ += item.frame.size();
    queue_.push_back(std::move(item));
    if (queued_bytes_ > limits_.most_queued) {
        queue_.clear();
        queued_bytes_ = 0;
        boost::asio::post(descriptor_.get_executor(), [weak = weak_from_this()] {
            if (const auto self = weak.lock()) {
                self->end("does not read what it is sent");
            }
        });
    }
}

void AsyncChannel::wait_writable() {
    descriptor_.async_wait(boost::asio::posix::descriptor_base::wait_write,
                           [weak = weak_from_this()](const boost::system::error_code& error) {
                               if (const auto self = weak.lock(); self && !error && self->channel_.open()) {
                                   self->write_queued();
                               }
                           });
}

void AsyncChannel::write_queued() {
    while (!queue_.empty()) {
        switch (try_send(queue_.front())) {
            case ipc::SendResult::full:
                wait_writable();
                return;
            case ipc::SendResult::failed:
                end("cannot be sent to");
                return;
            case ipc::SendResult::sent:
            case ipc::SendResult::closed:
                queued_bytes_ -= queue_.front().frame.size();
                queue_.pop_front();
                break;
        }
    }
}

}  // namespace iommud::monitor
