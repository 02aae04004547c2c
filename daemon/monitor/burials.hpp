// The monitor's closes in the reactor: an undertaker, which the vault starts, does them (daemon/undertaker/burial.hpp).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>

#include "daemon/monitor/admission.hpp"
#include "daemon/undertaker/burial.hpp"

namespace iommud::monitor {

// Who answers for what a party connects, and for what it sends.
[[nodiscard]] Burial::Owner owner_of(const Admission::Party& party);

class Burials {
  public:
    // From here on this process closes no socket itself. `replace` asks for another undertaker in place of that; of one
    // that is full, beside it. `owner_of`: as Burial has it.
    Burials(boost::asio::io_context& io, std::function<void(Burial::Id, bool full)> replace,
            std::function<Burial::Owner(uid_t)> owner_of);
    ~Burials();
    Burials(const Burials&) = delete;
    Burials& operator=(const Burials&) = delete;
    Burials(Burials&&) = delete;
    Burials& operator=(Burials&&) = delete;

    void hire(Burial::Id id, ipc::Channel channel);
    // So much waits to be closed that nobody new is to be let in.
    [[nodiscard]] bool crowded() const { return burial_.crowded(); }

  private:
    void wake();
    void turn();
    void wait_for(Burial::Id id);

    boost::asio::io_context& io_;
    std::function<void(Burial::Id, bool)> replace_;
    bool awake_ = false;  // a turn is coming
    Burial burial_;
    boost::asio::steady_timer again_;
    std::map<Burial::Id, boost::asio::posix::stream_descriptor> channels_;  // borrow the burial's
};

}  // namespace iommud::monitor
