// Devices that were out unbound. Copies of an unbound descriptor are invisible to the kernel's interface, and whoever
// has one can bind the device before its next holder does (C5). So such a device goes to nobody else before a rebind of
// its driver, which waits for all of them to be closed, has completed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/inventory/device.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::monitor {

class Monitor;

class Taints {
  public:
    explicit Taints(Monitor& monitor) : monitor_(monitor) {}

    // The devices go to the holder of `lease`, unbound: the vault is told before they are given; and once they are,
    // because the node that was opened may be a newer one than the inventory knew.
    void mark_all(const std::vector<PciAddress>& devices, const LeaseRecord& lease);
    // The device may have been bound anew: if so, and it is in no lease that gave it unbound, the taint is gone.
    void look_at(const PciAddress& address);

    [[nodiscard]] bool tainted(const PciAddress& address) const { return taints_.contains(address); }
    // Nobody but `uid` through `endpoint` can have a copy of an unbound descriptor of it.
    [[nodiscard]] bool free_for(const PciAddress& address, std::uint32_t uid, const std::string& endpoint) const;

    // Somebody else may have the device but for its taint: asks for a rebind (iommud-rebind.path watches for that).
    void ask_for_rebind(const PciAddress& address) const;

    // ---- after a restart of the monitor
    void held(const ipc::HeldThing& thing);
    // The vault has said all, leases too.
    void settle();

  private:
    struct Taint {
        std::uint32_t uid = 0;
        std::string endpoint;
        std::uint64_t node = 0;  // Device::vfio_node, which is another one after a rebind
        auto operator<=>(const Taint&) const = default;
        auto fields() { return std::tie(uid, endpoint, node); }
    };
    [[nodiscard]] bool out_unbound(const PciAddress& address) const;

    Monitor& monitor_;
    std::map<PciAddress, Taint> taints_;
};

}  // namespace iommud::monitor
