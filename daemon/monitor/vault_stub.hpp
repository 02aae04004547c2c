// The monitor's side of the vault's five verbs. Losing the vault is fatal to the monitor: systemd starts both anew.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "daemon/ipc/vault_messages.hpp"
#include "daemon/monitor/async_channel.hpp"

namespace iommud::monitor {

class VaultStub {
  public:
    // What the vault says. A keeper's channel and pidfd come with it where the frame has them; a lease may be held
    // whose keeper is still to come.
    struct Handlers {
        std::function<void(const ipc::VaultHello&)> hello;
        std::function<void(const ipc::HeldLease&, ipc::Channel keeper, UniqueFd pidfd)> held_lease;
        std::function<void(const ipc::HeldThing&, UniqueFd)> held_thing;
        std::function<void()> holdings_complete;
        std::function<void(const ipc::WorkerExited&)> worker_exited;
        std::function<void(const ipc::GrantResult&, ipc::Channel keeper, UniqueFd pidfd)> grant_result;
        std::function<void(const ipc::ExtendResult&)> extend_result;
        std::function<void(const ipc::KeeperDied&, ipc::Channel keeper, UniqueFd pidfd)> keeper_died;
        std::function<void(const ipc::LeaseEnded&)> lease_ended;
        std::function<void(const ipc::UndertakerComing&, ipc::Channel)> undertaker_coming;
    };

    // Connects to the vault's socket: a local connect that does not wait. Throws Fatal when there is no vault.
    VaultStub(boost::asio::io_context& io, const std::string& socket_path, Handlers handlers);

    template <class Verb>
    void send(const Verb& verb, std::vector<UniqueFd>&& fds = {}) {
        channel_->send(verb, std::move(fds));
    }

  private:
    void packet(ipc::Packet& packet);

    Handlers handlers_;
    std::shared_ptr<AsyncChannel> channel_;
};

}  // namespace iommud::monitor
