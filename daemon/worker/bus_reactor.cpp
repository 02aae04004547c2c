#include "daemon/worker/bus_reactor.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <cstdint>
#include <limits>

#include "daemon/base/log.hpp"

namespace iommud::worker {
namespace {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC, as sd-bus's deadlines are

constexpr auto handshake_limit = std::chrono::seconds(5);
// Signals that a client has not read. Replies do not add up: nothing is read from a client that does not read.
constexpr std::uint64_t most_queued = 1024;
// A client that never stops sending gives the monitor's channel its turn after as many messages.
constexpr int most_messages_per_turn = 16;

BorrowedFd fd_of(sd_bus* bus) {
    const int fd = sd_bus_get_fd(bus);
    must(fd, "get the connection's descriptor");
    return BorrowedFd(fd);
}

}  // namespace

BusReactor::BusReactor(boost::asio::io_context& io, sd_bus* bus, const CallbackFailure& failure)
    : io_(io), bus_(bus), failure_(failure), watch_(io, fd_of(bus)), handshake_(io), timer_(io) {}

void BusReactor::start() {
    if (!ready()) {
        if (const int result = sd_bus_start(bus_); result < 0) {
            return end("it is gone, or does not speak D-Bus", result);
        }
        handshake_.expires_after(handshake_limit);
        handshake_.async_wait([this](const boost::system::error_code& error) {
            if (!error && !ready()) {
                end("its handshake takes too long");
            }
        });
    }
    // Not now: the monitor's frames that have come already are to be seen first.
    boost::asio::post(io_, [this] { turn(); });
}

void BusReactor::flush() {
    if (sd_bus_is_open(bus_) <= 0) {
        end("it is gone");
    } else if (queued() > most_queued) {
        end("it does not read");
    } else if (queued() > 0) {
        arm_write();
    }
}

void BusReactor::turn() {
    for (int messages = 0; messages < most_messages_per_turn; ++messages) {
        const int result = sd_bus_process(bus_, nullptr);
        failure_.rethrow();
        if (result < 0) {
            return end("it is gone, or does not speak D-Bus", result);
        }
        if (queued() > most_queued) {
            return end("it does not read");
        }
        // With a reply unread the next request waits: what a client can make us queue stays one reply.
        if (result == 0 || (ready() && queued() > 0)) {
            return arm();
        }
    }
    // sd-bus may have read more than it has processed: the descriptor would not tell.
    boost::asio::post(io_, [this] { turn(); });
}

void BusReactor::arm() {
    if (ready() && queued() > 0) {
        return arm_write();
    }
    const int events = sd_bus_get_events(bus_);
    if (events < 0) {
        return end("it is gone", events);
    }
    if ((events & POLLOUT) != 0) {
        arm_write();
    }
    arm_read();
    arm_timer();
}

void BusReactor::arm_read() {
    if (std::exchange(reading_, true)) {
        return;
    }
    watch_.when_readable([this](const boost::system::error_code& error) {
        reading_ = false;
        if (!error) {
            turn();
        }
    });
}

void BusReactor::arm_write() {
    if (std::exchange(writing_, true)) {
        return;
    }
    watch_.when_writable([this](const boost::system::error_code& error) {
        writing_ = false;
        if (!error) {
            turn();
        }
    });
}

void BusReactor::arm_timer() {
    std::uint64_t deadline = 0;  // µs
    must(sd_bus_get_timeout(bus_, &deadline), "get the connection's deadline");
    if (deadline == std::numeric_limits<std::uint64_t>::max()) {
        return;
    }
    timer_.expires_at(Clock::time_point(std::chrono::microseconds(deadline)));
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
            turn();
        }
    });
}

void BusReactor::end(const char* why, int result) {
    log::debug(fmt::format("the client's connection ends: {}", why), {{"ERRNO", std::to_string(-result)}});
    io_.stop();
}

std::uint64_t BusReactor::queued() const {
    std::uint64_t messages = 0;
    // Fails only on a connection that is closed, where nothing is queued.
    return sd_bus_get_n_queued_write(bus_, &messages) < 0 ? 0 : messages;
}

}  // namespace iommud::worker
