// A listening socket: accepts, never waits, and says so once when descriptors run out instead of spinning.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/undertaker/burial.hpp"

namespace iommud::monitor {

class Listener {
  public:
    // `accepted` gets each connection, CLOEXEC and non-blocking. While `held_back` says so nobody is accepted: those
    // who connect wait in the kernel's queue.
    Listener(boost::asio::io_context& io, UniqueFd socket, std::function<void(UniqueFd)> accepted,
             std::function<bool()> held_back);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    Listener(Listener&&) = delete;
    Listener& operator=(Listener&&) = delete;

    // As turn_away_all.
    void turn_away(Burial::Owner owner) const;

  private:
    void wait();
    void accept_some();
    void wait_a_little();

    UniqueFd socket_;
    boost::asio::posix::stream_descriptor descriptor_;  // borrows socket_
    boost::asio::steady_timer pause_;
    std::function<void(UniqueFd)> accepted_;
    std::function<bool()> held_back_;
    // A handler that is queued already when a listener goes finds it gone.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// A listening stream socket at `path`, made anew (what was there is removed), with `mode`.
// Nobody connects any more, and whoever waits in the queue is turned away: each by itself, on account of `owner`, where
// closing the socket would close what lies in its queue.
void turn_away_all(BorrowedFd listener, Burial::Owner owner);

[[nodiscard]] Result<UniqueFd> listen_at(const std::string& path, unsigned mode);

// The listening socket that systemd passed under `name` (sd_listen_fds(3)); invalid when it passed none.
[[nodiscard]] UniqueFd socket_from_systemd(const char* name);

}  // namespace iommud::monitor
