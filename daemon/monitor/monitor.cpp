#include "daemon/monitor/monitor.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/base/bytes.hpp"
#include "daemon/base/log.hpp"
#include "daemon/base/notify.hpp"
#include "daemon/monitor/administrator.hpp"

namespace iommud::monitor {
namespace {

ServiceManager& service_manager() {
    static ServiceManager the_manager;
    return the_manager;
}

}  // namespace

Monitor::Monitor(boost::asio::io_context& io, const Options& options, Inventory inventory)
    : io_(io),
      burials_(
          io,
          [this](Burial::Id id, bool full) {
              vault_->send(ipc::ReplaceUndertaker{id, full});
          },
          [this](uid_t uid) { return Burial::Owner{policy_.current().names.owner_of(uid).value_or(uid)}; }),
      options_(options),
      policy_(options),
      inventory_(std::move(inventory)),
      keepers_(*this),
      views_(*this),
      endpoints_(*this),
      taints_(*this),
      tenants_(*this),
      signals_(io, SIGHUP, SIGTERM, SIGINT),
      watchdog_(io),
      bus_retry_(io) {
    policy_.load();
    ledger_ = std::make_unique<Ledger>(policy_.current().host_memory);
}

void Monitor::start(UniqueFd client_socket, UniqueFd admin_socket, std::function<void()> enter_sandbox) {
    client_socket_ = std::move(client_socket);
    admin_socket_ = std::move(admin_socket);
    enter_sandbox_ = std::move(enter_sandbox);
    service_manager().notify("STATUS=Asking the vault what it holds");
    vault_ = std::make_unique<VaultStub>(
        io_, options_.run + "/vault/monitor",
        VaultStub::Handlers{
            .hello =
                [this](const ipc::VaultHello& hello) {
                    kernel_ = hello.kernel;
                    inventory_.lent_by(kernel_ == KernelInterface::type1 ? "vfio_iommu_type1" : "iommufd");
                    freed_memory_ = hello.freed_memory;
                    leases_.count_on_from(hello.last_lease);
                    vault_faults_ = hello.dropped_invariants;
                    if (!options_.simulated && !kernel_gives_peer_pidfds()) {
                        vault_faults_.emplace_back(no_peer_pidfds);
                    }
                },
            .held_lease = [this](const ipc::HeldLease& held, ipc::Channel channel,
                                 UniqueFd pidfd) { keepers_.held(held, std::move(channel), std::move(pidfd)); },
            .held_thing =
                [this](const ipc::HeldThing& thing, UniqueFd socket) {
                    tenants_.held(thing);
                    taints_.held(thing);
                    endpoints_.held(thing, std::move(socket));
                },
            .holdings_complete = [this] { holdings_complete(); },
            .worker_exited = [this](const ipc::WorkerExited& exit) { worker_exited(exit); },
            .grant_result = [this](const ipc::GrantResult& result, ipc::Channel channel,
                                   UniqueFd pidfd) { keepers_.granted(result, std::move(channel), std::move(pidfd)); },
            .extend_result = [this](const ipc::ExtendResult& result) { keepers_.extended(result); },
            .keeper_died = [this](const ipc::KeeperDied& death, ipc::Channel channel,
                                  UniqueFd pidfd) { keepers_.died(death, std::move(channel), std::move(pidfd)); },
            .lease_ended = [this](const ipc::LeaseEnded& end) { keepers_.ended(end); },
            .undertaker_coming = [this](const ipc::UndertakerComing& coming,
                                        ipc::Channel channel) { burials_.hire(coming.id, std::move(channel)); },
        });
    wait_for_signals();
}

// The vault has said all: from here on the ledger is true, and whoever queued at the sockets is served.
void Monitor::holdings_complete() {
    if ((kernel_ == KernelInterface::simulated) != options_.simulated) {
        throw Fatal(fmt::format("the vault's kernel is {}, this monitor's is {}", name_of(kernel_),
                                options_.simulated ? "simulated" : "a real one"));
    }
    if (!options_.simulated) {
        Result<UeventSocket> socket = UeventSocket::open();
        if (!socket) {
            throw Fatal(socket.error().message);
        }
        uevents_ = std::move(*socket);
        uevent_watch_.emplace(io_, uevents_->fd().get());
        wait_for_uevents();
        rescan();  // what changed between the scan at start and the socket
    }
    keepers_.settle();
    taints_.settle();
    if (policy_.faults().empty()) {
        apply_limits();  // policy may have changed while there was no monitor
    }
    enter_sandbox_();
    endpoints_.settle();
    // What has connected meanwhile may still send descriptors: they go to the undertaker with their connection.
    for (const UniqueFd* socket : {&client_socket_, &admin_socket_}) {
        ipc::refuse_descriptors(socket->borrow());
    }
    clients_.emplace(
        io_, std::move(client_socket_),
        [this](UniqueFd socket) { accepted(std::move(socket), ConnectionKind::client); },
        [this] { return holds_back(); });
    admins_.emplace(
        io_, std::move(admin_socket_), [this](UniqueFd socket) { accepted(std::move(socket), ConnectionKind::admin); },
        [] { return false; });  // whoever else keeps this process busy: administrators can end that
    if (options_.system_bus) {
        start_system_bus_worker();
    }
    for (const std::string& fault : vault_faults_) {
        log::warning("without this invariant: " + fault);
    }
    log::notice(fmt::format("serving: kernel interface {}, {} devices, {} leases held, policy generation {}",
                            name_of(kernel_), inventory_.devices().size(), leases_.all().size(), policy_.generation()));
    service_manager().notify(fmt::format("READY=1\nSTATUS=Serving{}", options_.simulated ? " (simulated)" : ""));
    feed_watchdog();
}

std::vector<std::string> Monitor::features() const {
    std::vector<std::string> features{"managed"};
    if (kernel_ != KernelInterface::type1) {
        features.emplace_back("direct");
        features.emplace_back(feature_of(freed_memory_));
    }
    if (policy_.current().bus_acquire) {
        features.emplace_back(bus_feature);
    }
    if (options_.simulated) {
        features.emplace_back("simulated");
    }
    return features;
}

std::vector<std::string> Monitor::degraded() const {
    std::vector<std::string> reasons = policy_.faults();
    reasons.insert(reasons.end(), vault_faults_.begin(), vault_faults_.end());
    constexpr std::size_t most = 32;  // the rest is in the journal
    if (reasons.size() > most) {
        reasons.resize(most);
    }
    for (std::string& reason : reasons) {
        reason.resize(std::min(reason.size(), std::size_t{512}));
    }
    return reasons;
}

Standing Monitor::standing_of(const Device& device) const {
    const auto state_in = [](const Lease& lease) {
        return lease.state == LeaseState::draining ? DeviceState::draining : DeviceState::leased;
    };
    if (const Lease* lease = leases_.holder_of(device.address)) {
        return {state_in(*lease), {}};
    }
    for (const Device* member : inventory_.group_members(device.iommu_group)) {
        if (const Lease* lease = leases_.holder_of(member->address)) {
            return {state_in(*lease),
                    fmt::format("{}, of its IOMMU group, is: a group is given as a whole", member->address.text())};
        }
    }
    return standing_of_unheld(inventory_, device);
}

std::uint64_t Monitor::cgroup_memory(std::uint64_t limit) {
    // IO page tables take 1/512 of what 4 KiB pages map, a keeper under 2 MiB of its own, and the kernel under 1 KiB
    // for each of up to 32,000 maps; the rest is room for pages that a client punched out between check and pin. Many
    // maps far apart fill it before: that is the account's own ENOMEM.
    return 64 * MiB + limit / 64;
}

const std::vector<std::string>& Monitor::reload_policy() {
    service_manager().notify("RELOADING=1");
    const std::vector<std::string>& faults = policy_.load();
    for (const std::string& fault : faults) {
        log::error("policy not loaded: " + fault);
    }
    if (faults.empty()) {
        views_.decisions_changed();  // before anybody can read that there is another policy
        log::notice(fmt::format("policy generation {} is in force", policy_.generation()));
        ledger_->set_host_memory(policy_.current().host_memory);
        apply_limits();
    }
    views_.manager_changed();
    service_manager().notify("READY=1");
    return faults;
}

// What is held stays, whatever policy says now; its keepers map nothing more above it.
void Monitor::apply_limits() {
    for (const AccountFigures& held : ledger_->figures()) {
        const Limits limits = limits_of(policy_.current(), held.uid, leases_.groups_of_account(held.uid));
        ledger_->set_limits(held.uid, limits);
        if (const auto excess = above_limits(ledger_->figures(held.uid))) {
            log::warning(fmt::format("account {} holds {}: it keeps that, and gets nothing more", held.uid, *excess),
                         {{"IOMMUD_UID", std::to_string(held.uid)}});
        }
        limit_keepers(held.uid);
    }
}

void Monitor::limit_keepers(std::uint32_t account_uid) {
    const AccountFigures held = ledger_->figures(account_uid);
    if (held.leases == 0) {
        return;  // no keeper either
    }
    vault_->send(ipc::SetLimit{
        .account_uid = account_uid, .memlock = held.managed_memory(), .memory_max = cgroup_memory(held.limits.memory)});
}

// ---- the world outside

void Monitor::inventory_changed(const Diff& diff) {
    for (const auto* list : {&diff.added, &diff.changed, &diff.removed}) {
        for (const PciAddress& address : *list) {
            views_.device_changed(address);
            taints_.look_at(address);
        }
    }
    if (!diff.empty()) {
        views_.decisions_changed();
    }
}

void Monitor::refresh_host() {
    if (inventory_.refresh_host()) {
        views_.all_devices_changed();
        views_.decisions_changed();
    }
}

void Monitor::rescan() {
    const Result<Diff> diff = inventory_.rescan();
    if (!diff) {
        log::error("the devices cannot be listed again: " + diff.error().message);
        return;
    }
    inventory_changed(*diff);
}

void Monitor::look_at_uevents() {
    const Result<UeventBatch> batch = uevents_->receive();
    if (!batch) {
        throw Fatal("no more uevents: " + batch.error().message);
    }
    if (batch->lost) {
        rescan();
    }
    for (const PciAddress& address : batch->devices) {
        refresh_device(address);
    }
}

void Monitor::wait_for_uevents() {
    uevent_watch_->async_wait(boost::asio::posix::descriptor_base::wait_read,
                              [this](const boost::system::error_code& error) {
                                  if (error) {
                                      return;
                                  }
                                  look_at_uevents();
                                  wait_for_uevents();
                              });
}

void Monitor::wait_for_signals() {
    signals_.async_wait([this](const boost::system::error_code& error, int number) {
        if (error) {
            return;
        }
        if (number == SIGHUP) {
            reload_policy();
            wait_for_signals();
            return;
        }
        service_manager().notify("STOPPING=1");
        io_.stop();  // leases go on: the vault holds them
    });
}

void Monitor::feed_watchdog() {
    service_manager().notify("WATCHDOG=1");
    const auto interval = ServiceManager::watchdog_interval();
    if (!interval) {
        return;
    }
    watchdog_.expires_after(*interval);
    watchdog_.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
            refresh_host();  // a list that nobody asks for is true all the same
            feed_watchdog();
        }
    });
}

}  // namespace iommud::monitor
