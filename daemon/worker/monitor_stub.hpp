// The worker's end of its channel to the monitor.
#pragma once

#include <boost/asio/io_context.hpp>

#include "daemon/ipc/channel.hpp"
#include "daemon/worker/fd_watch.hpp"
#include "daemon/worker/frames.hpp"

namespace iommud::worker {

class FrameSink {
  public:
    virtual ~FrameSink() = default;
    // `fd` is valid for a DeliveryComing only.
    virtual void on_frame(Frame frame, UniqueFd fd) = 0;
    // After the frames that had come together.
    virtual void on_frames_done() = 0;
};

class MonitorStub {
  public:
    // `io` outlives the stub. Throws Fatal when `socket` is no socket.
    MonitorStub(boost::asio::io_context& io, UniqueFd socket);

    // Waits for the first frame, 10 seconds at most. Nothing when the monitor has hung up. Throws Fatal.
    [[nodiscard]] std::optional<ipc::WorkerStart> wait_for_start();
    // Gives every later frame to `sink`, which outlives the stub. Stops `io` when the monitor hangs up.
    void start(FrameSink& sink);

    // Whether something has come that was not given to the sink yet, a hang-up included.
    [[nodiscard]] bool has_unread() const { return channel_.has_unread(); }

    template <class Message>
    [[nodiscard]] ipc::SendResult send(const Message& message) const {
        return channel_.send(message);
    }

  private:
    void arm();
    void turn();
    [[nodiscard]] Frame accept();

    boost::asio::io_context& io_;
    ipc::Channel channel_;  // before watch_, which borrows it
    FdWatch watch_;
    ipc::Packet packet_;  // kept: its buffer is used again
    FrameSink* sink_ = nullptr;
    Phase phase_ = Phase::starting;
    bool manager_seen_ = false;
};

}  // namespace iommud::worker
