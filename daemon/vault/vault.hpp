// The vault itself: one epoll loop over the monitor, the children and the clock. Nothing in it waits for anybody.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "daemon/base/notify.hpp"
#include "daemon/undertaker/burial.hpp"
#include "daemon/vault/cgroups.hpp"
#include "daemon/vault/holdings.hpp"
#include "daemon/vault/monitor_link.hpp"
#include "daemon/vault/options.hpp"
#include "daemon/vault/slots.hpp"
#include "daemon/vault/spawn.hpp"
#include "daemon/vault/values_file.hpp"

namespace iommud::vault {

// For a child, until it is what it was started for. A node may wait for its device, and a fault for memory.
inline constexpr std::chrono::seconds longest_opening{10};

// What only root on a real kernel has.
struct RealWorld {
    Cgroups cgroups;
    SlotsFile slots;
    ValuesFile values;
    User bus_worker;
    std::uint32_t first_worker_uid;  // + connection slot
    FreedMemory freed_memory = FreedMemory::exposed;
};

class Vault {
  public:
    // `kernel`: nothing when this machine has neither iommufd nor type1: every grant is then refused. No `real`: the
    // simulated kernel. Throws Fatal.
    Vault(const Options& options, std::optional<KernelInterface> kernel, std::optional<RealWorld> real, uid_t monitor);

    // Until SIGTERM, and then until the DMA of every lease has ended, or for 5 s.
    void run();

  private:
    using Clock = std::chrono::steady_clock;
    enum class Source : std::uint8_t {
        signals,
        listener,
        monitor,
        worker,
        keeper,
        report,
        word,
        extension,
        added,
        other,
        burial,
        undertaker
    };
    enum class Due : std::uint8_t { successor, opening, limit, sweep, stuck, holder, watchdog, kill, stop, undertaker };
    // Whom an undertaker closes for.
    enum class Closer : std::uint8_t { vault, monitor };
    struct Undertaker {
        Child child;
        Closer closer;
        bool dismissed = false;  // killed, and not gone yet
        bool full = false;       // a morgue that holds all it can, and is left alone
    };
    struct Exit {
        bool clean = false;
        std::string text;
    };

    // The loop (vault.cpp).
    void watch(BorrowedFd fd, Source source, std::uint64_t id = 0, bool output = false);
    void unwatch(BorrowedFd fd);
    void dispatch(Source source, std::uint64_t id, std::uint32_t events);
    void due(Due what, LeaseId id);
    void schedule(Due what, Clock::duration in, LeaseId id = 0) {
        deadlines_.emplace(Clock::now() + in, std::pair(what, id));
    }
    [[nodiscard]] int next_timeout() const;
    void on_signal();
    [[nodiscard]] bool dma_has_ended() const;
    void on_listener();
    void on_monitor(std::uint32_t events);
    void greet();
    void drop_monitor(std::string_view why);
    template <class Message>
    void tell(const Message& message, std::span<const BorrowedFd> fds = {}) {
        if (!link_.tell(message, fds)) {
            drop_monitor("it hung up or does not read");
        }
    }

    // The verbs (verbs.cpp). An error drops the monitor.
    [[nodiscard]] Result<void> handle(ipc::Packet& packet);
    [[nodiscard]] Result<void> carry_out(const ipc::StartWorker& request, ipc::Packet& packet);
    [[nodiscard]] Result<void> carry_out(const ipc::GrantLease& request, ipc::Packet& packet);
    [[nodiscard]] Result<void> carry_out(const ipc::ExtendLease& request, ipc::Packet& packet);
    [[nodiscard]] Result<void> carry_out(const ipc::SetLimit& request, ipc::Packet& packet);
    [[nodiscard]] Result<void> carry_out(const ipc::KillChild& request, ipc::Packet& packet);
    [[nodiscard]] Result<void> carry_out(const ipc::CondemnHolder& request, ipc::Packet& packet);
    [[nodiscard]] Result<void> carry_out(const ipc::Hold& request, ipc::Packet& packet);
    [[nodiscard]] Result<void> carry_out(const ipc::Unhold& request, ipc::Packet& packet);
    [[nodiscard]] Result<void> carry_out(const ipc::ReplaceUndertaker& request, ipc::Packet& packet);
    [[nodiscard]] Result<void> may_grant(std::uint32_t account_uid) const;

    // The children (children.cpp).
    [[nodiscard]] std::optional<Exit> reap(const Child& child);
    void signal(const Child& child, int number) const;
    void abandon(Child child, LeaseId lease = 0, std::uint32_t account_uid = ~0U);
    void on_abandoned(std::uint64_t number);
    void kill_keeper(Lease& lease);
    void give_up_stuck(Lease& lease);
    void collect_accounts();
    [[nodiscard]] Result<std::optional<Place>> place_of(std::uint32_t account_uid);
    [[nodiscard]] Result<void> start_keeper(Lease& lease, BorrowedFd delivery);
    enum class Went : std::uint8_t { died, left, revoked };
    void start_successor(Lease& lease, const std::string& how_it_died, Went went = Went::died);
    void limit_keeper(Lease& lease);
    void limit_cgroup_of(std::uint32_t account_uid, std::uint64_t memory_max);
    // The holders of direct leases (holders.cpp).
    [[nodiscard]] Result<void> take_holder(Lease& lease, const ipc::GrantLease& request);
    [[nodiscard]] Result<void> limit_holder(Lease& lease);
    void limit_holders_of(uid_t uid);
    void end_lease(LeaseId id, std::optional<Error> refused = {});
    void sweep(Lease& lease);
    void on_sweep_exit(LeaseId id, bool clean);
    void forget_lease(LeaseId id);

    // The undertakers (undertakers.cpp).
    void hire(Closer closer);  // as many as it lacks; when too many do not die, once one of them has
    void dismiss(Burial::Id id);
    void dismiss_monitors();
    void let_bury();
    void leave_full(Burial::Id id);
    void on_undertaker_exit(Burial::Id id);

    void on_worker_exit(std::uint32_t slot);
    void on_keeper_exit(LeaseId id);
    void on_report(LeaseId id);
    void on_word(LeaseId id);
    void keeper_leaves(Lease& lease, bool revoked);
    void on_extension(LeaseId id, bool exited);
    void close_report(ipc::Channel& report);

    Burial burial_;  // outlives everything that closes
    std::optional<KernelInterface> kernel_;
    std::optional<RealWorld> real_;
    UniqueFd epoll_;
    UniqueFd signals_;
    MonitorLink link_;
    Spawner spawner_;
    ServiceManager manager_;
    Holdings holdings_;
    std::uint64_t next_abandoned_ = 0;
    std::map<Burial::Id, Undertaker> undertakers_;
    Burial::Id next_undertaker_ = 0;
    std::multimap<Clock::time_point, std::pair<Due, LeaseId>> deadlines_;
    bool output_watched_ = false;
    bool stopping_ = false;
    bool stopped_ = false;
};

}  // namespace iommud::vault
