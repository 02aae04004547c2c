// Asio's wait for a descriptor that somebody else owns and that outlives the watch. Asio waits; we read and write.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <utility>

#include "daemon/base/unique_fd.hpp"

namespace iommud::worker {

class FdWatch {
  public:
    FdWatch(boost::asio::io_context& io, BorrowedFd fd) : descriptor_(io, fd.get()) {}
    FdWatch(const FdWatch&) = delete;
    FdWatch& operator=(const FdWatch&) = delete;
    // Not closed: Asio never owns a descriptor here.
    ~FdWatch() { descriptor_.release(); }

    // Once, when it is readable or has hung up; at once if it is so already. `handler(error_code)` is not called after
    // the watch is gone, except when the event came first: it must then find its owner alive.
    template <class Handler>
    void when_readable(Handler handler) {
        descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read, std::move(handler));
    }
    template <class Handler>
    void when_writable(Handler handler) {
        descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_write, std::move(handler));
    }

  private:
    boost::asio::posix::stream_descriptor descriptor_;
};

}  // namespace iommud::worker
