#include "daemon/monitor/tenants.hpp"

#include <string_view>

#include "daemon/ipc/codec.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

constexpr std::string_view prefix = "tenant/";

std::string thing_of(const PciAddress& device) {
    return std::string(prefix) + device.text();
}

}  // namespace

void Tenants::held(const ipc::HeldThing& thing) {
    if (!std::string_view(thing.name).starts_with(prefix)) {
        return;
    }
    if (const auto device = PciAddress::parse(std::string_view(thing.name).substr(prefix.size()))) {
        last_[*device] = ipc::decode_value<Tenant>(thing.value).value_or(Tenant{});
    }
}

std::vector<PciAddress> Tenants::no_reset_allowed(const std::vector<PciAddress>& asked, std::uint32_t holder,
                                                  const std::string& endpoint, bool rule_allows) const {
    std::vector<PciAddress> allowed;
    for (const PciAddress& device : asked) {
        const auto last = last_.find(device);
        if (rule_allows || last == last_.end() || last->second == Tenant{holder, endpoint}) {
            allowed.push_back(device);
        }
    }
    return allowed;
}

void Tenants::begin(const LeaseRecord& lease, const std::vector<PciAddress>& devices) {
    for (const PciAddress& device : devices) {
        const auto last = last_.find(device);
        if (last == last_.end() || last->second != Tenant{lease.holder_uid, lease.endpoint}) {
            before_[device] = last == last_.end() ? std::nullopt : std::optional(last->second);
            put(device, Tenant{});
        }
    }
}

void Tenants::settle(const LeaseRecord& lease, const std::vector<PciAddress>& devices) {
    for (const PciAddress& device : devices) {
        before_.erase(device);
        put(device, Tenant{lease.holder_uid, lease.endpoint});
    }
}

void Tenants::withdraw(const std::vector<PciAddress>& devices) {
    for (const PciAddress& device : devices) {
        const auto before = before_.find(device);
        if (before == before_.end()) {
            continue;
        }
        if (before->second) {
            put(device, *before->second);
        } else {
            last_.erase(device);
            monitor_.vault().send(ipc::Unhold{.name = thing_of(device)});
        }
        before_.erase(before);
    }
}

void Tenants::put(const PciAddress& device, const Tenant& tenant) {
    const auto [entry, added] = last_.try_emplace(device, tenant);
    if (added || entry->second != tenant) {
        entry->second = tenant;
        monitor_.vault().send(ipc::Hold{.name = thing_of(device), .value = ipc::encode_value(tenant)});
    }
}

}  // namespace iommud::monitor
