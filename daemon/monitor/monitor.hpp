// The monitor: decides, charges, keeps ledger and inventory. It owns everything that the answers look at.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/inventory/inventory.hpp"
#include "daemon/inventory/uevent.hpp"
#include "daemon/ipc/freed_memory.hpp"
#include "daemon/ledger/ledger.hpp"
#include "daemon/monitor/admission.hpp"
#include "daemon/monitor/back_off.hpp"
#include "daemon/monitor/burials.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/endpoints.hpp"
#include "daemon/monitor/keepers.hpp"
#include "daemon/monitor/lease_book.hpp"
#include "daemon/monitor/listener.hpp"
#include "daemon/monitor/options.hpp"
#include "daemon/monitor/policy_store.hpp"
#include "daemon/monitor/standing.hpp"
#include "daemon/monitor/taints.hpp"
#include "daemon/monitor/tenants.hpp"
#include "daemon/monitor/vault_stub.hpp"
#include "daemon/monitor/views.hpp"

namespace iommud::monitor {

class Monitor {
  public:
    Monitor(boost::asio::io_context& io, const Options& options, Inventory inventory);

    // Connects to the vault, which says what it holds; listens once that is known. `enter_sandbox` is called before
    // the first connection is accepted. Throws Fatal.
    void start(UniqueFd client_socket, UniqueFd admin_socket, std::function<void()> enter_sandbox);

    [[nodiscard]] boost::asio::io_context& io() { return io_; }
    [[nodiscard]] const Options& options() const { return options_; }
    [[nodiscard]] PolicyStore& policy() { return policy_; }
    [[nodiscard]] const PolicyStore& policy() const { return policy_; }
    [[nodiscard]] Ledger& ledger() { return *ledger_; }
    [[nodiscard]] Inventory& inventory() { return inventory_; }
    [[nodiscard]] const Inventory& inventory() const { return inventory_; }
    [[nodiscard]] LeaseBook& leases() { return leases_; }
    [[nodiscard]] Keepers& keepers() { return keepers_; }
    [[nodiscard]] Views& views() { return views_; }
    [[nodiscard]] Endpoints& endpoints() { return endpoints_; }
    [[nodiscard]] Taints& taints() { return taints_; }
    [[nodiscard]] Tenants& tenants() { return tenants_; }
    [[nodiscard]] VaultStub& vault() { return *vault_; }
    [[nodiscard]] Admission& admission() { return admission_; }
    [[nodiscard]] KernelInterface kernel() const { return kernel_; }
    [[nodiscard]] FreedMemory freed_memory() const { return freed_memory_; }
    [[nodiscard]] std::vector<std::string> features() const;
    [[nodiscard]] std::vector<std::string> degraded() const;

    // What a device is to everybody, and why it cannot be leased.
    [[nodiscard]] Standing standing_of(const Device& device) const;

    // Reads policy anew, and gives live accounts their new limits. What was wrong, a line each.
    const std::vector<std::string>& reload_policy();
    // RLIMIT_MEMLOCK and memory.max for an account's keepers, from its figures.
    [[nodiscard]] static std::uint64_t cgroup_memory(std::uint64_t limit);
    // The account's direct reservations have changed: its keepers get what is left of its limit.
    void limit_keepers(std::uint32_t account_uid);
    // Reads again what no uevent announces: whether the host isolates interrupts.
    void refresh_host();
    // Reads one device again, as a uevent would have it.
    void refresh_device(const PciAddress& address) { inventory_changed(inventory_.refresh(address)); }

    // ---- connections
    // More waits to be closed than is good: nobody new is let in.
    [[nodiscard]] bool holds_back() const { return burials_.crowded(); }
    [[nodiscard]] std::optional<std::uint32_t> take_slot(Connection& connection);
    // `via`: the endpoint whose socket it is; none for the host's. Whether `who` may come in there. Error:
    // access_denied.
    [[nodiscard]] Result<void> let_in(const Identity& who, ConnectionKind kind, const EndpointRecord* via) const;
    void accepted(UniqueFd socket, ConnectionKind kind, std::shared_ptr<const EndpointRecord> via = nullptr);
    // As whom a uid counts at this endpoint, or (null) at the host's sockets.
    [[nodiscard]] Admission::Party party_of(uid_t uid, const EndpointRecord* via) const;
    void drop(Connection& connection);                      // no worker yet: forget it
    void cut_off(Connection& connection);                   // no fault of its: its worker is killed all the same
    void expel(Connection& connection, const char* fault);  // its worker misbehaved: kill it (I4)
    void for_each_connection(const std::function<void(Connection&)>& action);

  private:
    void start_system_bus_worker();
    void return_to_system_bus(const std::string& status);
    void worker_exited(const ipc::WorkerExited& exit);
    void holdings_complete();
    void apply_limits();
    void inventory_changed(const Diff& diff);
    void rescan();
    void look_at_uevents();
    void wait_for_uevents();
    void wait_for_signals();
    void feed_watchdog();

    boost::asio::io_context& io_;
    Burials burials_;  // outlives everything that closes
    const Options& options_;
    PolicyStore policy_;
    std::unique_ptr<Ledger> ledger_;
    Inventory inventory_;
    LeaseBook leases_;
    Keepers keepers_;
    Views views_;
    Endpoints endpoints_;
    Taints taints_;
    Tenants tenants_;
    Admission admission_;
    KernelInterface kernel_ = KernelInterface::iommufd;
    FreedMemory freed_memory_ = FreedMemory::exposed;
    std::vector<std::string> vault_faults_;
    std::unique_ptr<VaultStub> vault_;
    std::vector<std::shared_ptr<Connection>> connections_;
    std::map<std::uint32_t, std::shared_ptr<Connection>> slots_;  // held until the vault has reaped the worker
    std::optional<Listener> clients_;
    std::optional<Listener> admins_;
    UniqueFd client_socket_;
    UniqueFd admin_socket_;
    std::function<void()> enter_sandbox_;
    std::optional<UeventSocket> uevents_;
    std::optional<boost::asio::posix::stream_descriptor> uevent_watch_;  // borrows uevents_
    boost::asio::signal_set signals_;
    boost::asio::steady_timer watchdog_;
    boost::asio::steady_timer bus_retry_;
    BackOff bus_back_off_;
};

}  // namespace iommud::monitor
