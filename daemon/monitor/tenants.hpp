// Who had a device last. What cannot be reset goes to nobody else, and that is known only when the device is bound
// next: a reset may have worked for one holder and fail for the following one. So every holder is noted, of every
// device.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/base/pci_address.hpp"
#include "daemon/ipc/types.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::monitor {

class Monitor;

class Tenants {
  public:
    explicit Tenants(Monitor& monitor) : monitor_(monitor) {}

    // What the vault held for a monitor that was here before; other things are not looked at.
    void held(const ipc::HeldThing& thing);

    // The devices of `asked` that `holder`, a uid, may have through `endpoint` although they may not have a working
    // reset: nobody had them since the machine started, or this holder had them last, or the rule says so. Another uid
    // of the same account is somebody else (C16).
    [[nodiscard]] std::vector<PciAddress> no_reset_allowed(const std::vector<PciAddress>& asked, std::uint32_t holder,
                                                           const std::string& endpoint, bool rule_allows) const;

    // In this order: begin() before the vault is asked, so that a monitor that dies meanwhile leaves "not known"
    // behind; then settle() when the holder has the devices, or withdraw() when they never were given.
    void begin(const LeaseRecord& lease, const std::vector<PciAddress>& devices);
    void settle(const LeaseRecord& lease, const std::vector<PciAddress>& devices);
    void withdraw(const std::vector<PciAddress>& devices);

  private:
    struct Tenant {
        std::uint32_t holder = ~0U;  // its uid; nobody's: not known, so that everybody is another
        std::string endpoint;
        auto operator<=>(const Tenant&) const = default;
        // The uid last: what an older daemon wrote, which knew the account only, is not read as one.
        auto fields() { return std::tie(endpoint, holder); }
    };
    void put(const PciAddress& device, const Tenant& tenant);

    Monitor& monitor_;
    std::map<PciAddress, Tenant> last_;
    std::map<PciAddress, std::optional<Tenant>> before_;  // of devices that are being given
};

}  // namespace iommud::monitor
