// What the connection may see, as the monitor last told: property reads are answered from here, without asking.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "daemon/ipc/worker_messages.hpp"

namespace iommud::worker {

// What a frame changed: nothing, properties of a known object (their D-Bus names), or that the object is new.
struct Change {
    bool added = false;
    std::vector<const char*> properties;
    [[nodiscard]] bool none() const { return !added && properties.empty(); }
};

struct Delivered {
    Change lease;
    std::vector<PciAddress> devices;  // whose State and Lease have changed
};

class Replica {
  public:
    // `tells_leases`: whether a device's lease may be seen; on the system bus not even by its holder.
    explicit Replica(bool tells_leases = true) : tells_leases_(tells_leases) {}
    Change apply(ipc::ManagerView view);
    Change apply(ipc::DeviceView view);
    Change apply(ipc::LeaseView view);
    // The client has the descriptors of `lease`: it is active and has its devices, though the keeper's word of it may
    // still be on its way through the monitor. A client that reads State after Acquire would see "granting" otherwise.
    // `view` is what was announced, and counts when nothing newer is known; none: the lease has ended since.
    Delivered delivered(LeaseId lease, const std::optional<ipc::LeaseView>& view);
    void forget(const PciAddress& address) { devices_.erase(address); }
    void forget(LeaseId lease) { leases_.erase(lease); }

    [[nodiscard]] const ipc::ManagerView& manager() const { return manager_; }
    // Null: not there, or not this connection's to see. Valid until the next change.
    [[nodiscard]] const ipc::DeviceView* device(const PciAddress& address) const;
    [[nodiscard]] const ipc::LeaseView* lease(LeaseId lease) const;
    [[nodiscard]] const std::map<PciAddress, ipc::DeviceView>& devices() const { return devices_; }
    [[nodiscard]] const std::map<LeaseId, ipc::LeaseView>& leases() const { return leases_; }

  private:
    bool tells_leases_;
    ipc::ManagerView manager_;
    std::map<PciAddress, ipc::DeviceView> devices_;
    std::map<LeaseId, ipc::LeaseView> leases_;
};

}  // namespace iommud::worker
