#include "daemon/monitor/burials.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <functional>
#include <utility>

#include "daemon/base/log.hpp"

namespace iommud::monitor {

Burial::Owner owner_of(const Admission::Party& party) {
    constexpr Burial::Owner of_a_container = Burial::Owner{1} << 63;
    // Two containers of one number would share what one owner has, no more.
    return party.endpoint.empty() ? party.uid : of_a_container | (std::hash<std::string>{}(party.endpoint) >> 2);
}

Burials::Burials(boost::asio::io_context& io, std::function<void(Burial::Id, bool)> replace,
                 std::function<Burial::Owner(uid_t)> owner_of)
    : io_(io), replace_(std::move(replace)), burial_([this] { wake(); }, std::move(owner_of)), again_(io) {}

Burials::~Burials() {
    for (auto& [id, channel] : channels_) {
        channel.release();
    }
}

// Once for all that one turn of the reactor lets go of: a batch costs as much as a single descriptor.
void Burials::wake() {
    if (!std::exchange(awake_, true)) {
        boost::asio::post(io_, [this] { turn(); });
    }
}

void Burials::hire(Burial::Id id, ipc::Channel channel) {
    burial_.hire(id, std::move(channel));
    channels_.try_emplace(id, io_, burial_.channel(id).get());
    wait_for(id);
    turn();
}

void Burials::wait_for(Burial::Id id) {
    const auto channel = channels_.find(id);
    if (channel == channels_.end()) {
        return;
    }
    channel->second.async_wait(boost::asio::posix::descriptor_base::wait_read,
                               [this, id](const boost::system::error_code& error) {
                                   if (!error) {
                                       turn();
                                       wait_for(id);
                                   }
                               });
}

void Burials::turn() {
    constexpr std::chrono::milliseconds while_busy{250};
    awake_ = false;
    for (const Burial::Id id : burial_.work(Burial::Clock::now())) {
        if (burial_.full(id)) {
            log::warning(fmt::format("the monitor's undertaker {} holds all that it can, and is left alone", id));
            replace_(id, true);
            continue;
        }
        log::warning(fmt::format("the monitor's undertaker {} does not come back from a close, or is gone", id));
        if (const auto channel = channels_.find(id); channel != channels_.end()) {
            channel->second.release();
            channels_.erase(channel);
        }
        burial_.forget(id);
        replace_(id, false);
    }
    if (burial_.busy()) {
        again_.expires_after(while_busy);
        again_.async_wait([this](const boost::system::error_code& error) {
            if (!error) {
                turn();
            }
        });
    }
}

}  // namespace iommud::monitor
