// What the client is told of changes: PropertiesChanged, InterfacesAdded, InterfacesRemoved.
#pragma once

#include "daemon/worker/bus.hpp"
#include "daemon/worker/replica.hpp"

namespace iommud::worker {

// Silent until the client's handshake is over: who comes later reads the present state anyway.
class Signals {
  public:
    // `tells_leases`: on the system bus everybody would hear of everybody's.
    explicit Signals(sd_bus* bus, bool tells_leases = true) : bus_(bus), tells_leases_(tells_leases) {}
    // After the replica has changed. Throw Fatal.
    void manager(const Change& change) const;
    void device(const PciAddress& address, const Change& change) const;
    void lease(LeaseId lease, const Change& change) const;
    // Before the replica forgets: sd-bus asks the object for its interfaces.
    void device_goes(const PciAddress& address) const;
    void lease_goes(LeaseId lease) const;

  private:
    void object(const std::string& path, const char* interface, const Change& change) const;
    void removed(const std::string& path) const;

    sd_bus* bus_;
    bool tells_leases_;
};

}  // namespace iommud::worker
