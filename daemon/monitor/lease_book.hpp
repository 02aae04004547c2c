// The leases, as the monitor knows them, and which devices they hold.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/inventory/inventory.hpp"
#include "daemon/ipc/types.hpp"
#include "daemon/ledger/ledger.hpp"
#include "daemon/monitor/async_channel.hpp"

namespace iommud::monitor {

class Connection;

// A worker's request that is answered later. The connection may be gone by then.
struct Waiter {
    std::weak_ptr<Connection> connection;
    std::uint64_t cookie = 0;
};

struct Lease {
    LeaseRecord record;
    LeaseState state = LeaseState::granting;
    std::uint64_t mapped = 0;  // bytes, as the keeper last said
    std::optional<Charge> charge;
    std::shared_ptr<AsyncChannel> keeper;  // empty until the vault has granted
    UniqueFd keeper_pidfd;
    std::optional<Waiter> grant;                                      // who waits for the descriptors
    std::optional<boost::asio::steady_timer> patience;                // with a keeper that is to end DMA: until it has
    std::optional<std::chrono::steady_clock::time_point> taken_back;  // or will be, by then
    std::vector<Waiter> releases;                                     // who waits for DMA to have ended
    bool condemned = false;          // revoked: its holder, in mode direct, does not outlive it
    std::vector<PciAddress> adding;  // devices of an Add that is under way, not yet in the record
    std::optional<Waiter> addition;  // who waits for those
    Error addition_error;            // why the last addition failed, if it did
    std::uint64_t question = 0;      // to the keeper, of which devices it has; 0: none is unanswered
};

class LeaseBook {
  public:
    Lease& open(LeaseRecord record);
    // The lease is no more: its charge is given back, its devices are nobody's.
    void close(LeaseId id);

    [[nodiscard]] Lease* find(LeaseId id);
    // The lease that holds the device, or one that is being added to it; nullptr: nobody's.
    [[nodiscard]] const Lease* holder_of(const PciAddress& device) const;
    [[nodiscard]] const std::map<LeaseId, std::unique_ptr<Lease>>& all() const { return leases_; }
    // By which its leases were given; each once.
    [[nodiscard]] std::vector<std::uint32_t> groups_of_account(std::uint32_t uid) const;
    void index_device(const PciAddress& device, LeaseId id) { by_device_[device] = id; }
    void forget_device(const PciAddress& device) { by_device_.erase(device); }

    [[nodiscard]] LeaseId next_id() { return ++last_id_; }
    void count_on_from(LeaseId last) { last_id_ = std::max(last_id_, last); }

  private:
    std::map<LeaseId, std::unique_ptr<Lease>> leases_;
    std::map<PciAddress, LeaseId> by_device_;
    LeaseId last_id_ = 0;
};

}  // namespace iommud::monitor
