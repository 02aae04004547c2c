// One sd-bus connection in Asio's loop. Losing the connection ends the loop: there is no worker without a client.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <exception>

#include "daemon/worker/bus.hpp"
#include "daemon/worker/fd_watch.hpp"

namespace iommud::worker {

// What a callback of sd-bus could not throw through it.
class CallbackFailure {
  public:
    void keep(std::exception_ptr failure) noexcept {
        if (!failure_) {
            failure_ = std::move(failure);
        }
    }
    void rethrow() const {
        if (failure_) {
            std::rethrow_exception(failure_);
        }
    }

  private:
    std::exception_ptr failure_;
};

class BusReactor {
  public:
    // All three outlive the reactor.
    BusReactor(boost::asio::io_context& io, sd_bus* bus, const CallbackFailure& failure);

    // Starts the connection, if it is not, and processes messages from then on. A client that has not finished its
    // handshake in 5 seconds loses the connection.
    void start();
    // To call after sending outside of a message's processing: waits for room if not all of it could be written.
    void flush();

  private:
    void turn();
    void arm();
    void arm_read();
    void arm_write();
    void arm_timer();
    void end(const char* why, int result = 0);
    [[nodiscard]] bool ready() const { return sd_bus_is_ready(bus_) > 0; }
    [[nodiscard]] std::uint64_t queued() const;

    boost::asio::io_context& io_;
    sd_bus* bus_;
    const CallbackFailure& failure_;
    FdWatch watch_;
    boost::asio::steady_timer handshake_;
    boost::asio::steady_timer timer_;
    bool reading_ = false;
    bool writing_ = false;
};

}  // namespace iommud::worker
