// What the client is told of changes: PropertiesChanged, InterfacesAdded, InterfacesRemoved. They are kept until
// emit(): the answer to a request, which may come with what it has changed, goes first, because somebody waits for it.
#pragma once

#include <string>
#include <vector>

#include "daemon/worker/bus.hpp"
#include "daemon/worker/replica.hpp"

namespace iommud::worker {

// Silent until the client's handshake is over: who comes later reads the present state anyway.
class Signals {
  public:
    // `tells_leases`: on the system bus everybody would hear of everybody's.
    explicit Signals(sd_bus* bus, bool tells_leases = true) : bus_(bus), tells_leases_(tells_leases) {}
    // After the replica has changed.
    void manager(Change change);
    void device(const PciAddress& address, Change change);
    void lease(LeaseId lease, Change change);
    // Before the replica forgets: sd-bus asks the object for its interfaces. Not kept, and nothing before it either.
    // Throw Fatal.
    void device_goes(const PciAddress& address);
    void lease_goes(LeaseId lease);

    [[nodiscard]] bool kept() const { return !kept_.empty(); }
    // Sends what was kept, with the values of now. Throws Fatal.
    void emit();

  private:
    struct Kept {
        std::string path;
        const char* interface;
        Change change;
    };
    void keep(std::string path, const char* interface, Change change);
    void removed(const std::string& path);

    sd_bus* bus_;
    bool tells_leases_;
    std::vector<Kept> kept_;
};

}  // namespace iommud::worker
