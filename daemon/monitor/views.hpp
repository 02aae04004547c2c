// What each connection may see, sent to its worker as it changes: coalesced, but up to date before an answer.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <set>

#include "daemon/ipc/worker_messages.hpp"
#include "daemon/monitor/lease_book.hpp"

namespace iommud::monitor {

class Connection;
class Monitor;

// Whether `connection` may see and end the lease: its own uid's, through its own endpoint (I9). An administrator: all.
// The system bus's worker itself, for which nobody is vouched: all that were given there, of which it tells each his.
[[nodiscard]] bool may_see(const Connection& connection, const LeaseRecord& record);

[[nodiscard]] ipc::LeaseView view_of(const Lease& lease);

class Views {
  public:
    explicit Views(Monitor& monitor);

    // Everything that `connection` may see, then ViewComplete.
    void introduce(Connection& connection);

    void manager_changed();
    void device_changed(const PciAddress& address);
    void all_devices_changed();
    void lease_changed(const Lease& lease);  // before it is closed in the book, too
    // Told within a second, for which nobody waits: a lease that is being granted, most of which are given sooner; and
    // what is mapped, which changes all the time.
    void lease_granting(const Lease& lease);
    void mapped_changed(const Lease& lease);

    // What Explain says may be another now. Told at once.
    void decisions_changed();

    // Sends at once what has changed and not been sent yet: before an answer to `connection`.
    void bring_up_to_date(Connection& connection);

  private:
    void note(const Lease& lease);
    void schedule(std::chrono::milliseconds within);
    void send_changes(Connection& connection);
    void send_device(Connection& connection, const PciAddress& address);
    [[nodiscard]] ipc::ManagerView manager_view() const;

    Monitor& monitor_;
    boost::asio::steady_timer timer_;
    bool scheduled_ = false;  // the timer runs
    bool manager_ = false;
    std::set<PciAddress> devices_;
    std::map<LeaseId, LeaseRecord> leases_;  // the record says who may hear of it, even when it is gone
};

}  // namespace iommud::monitor
