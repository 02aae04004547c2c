#include "daemon/monitor/taints.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "daemon/base/log.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

constexpr std::string_view held_prefix = "taint/";

std::string held_name(const PciAddress& address) {
    return std::string(held_prefix) + address.text();
}

}  // namespace

void Taints::mark_all(const std::vector<PciAddress>& devices, const LeaseRecord& lease) {
    for (const PciAddress& address : devices) {
        const Device* device = monitor_.inventory().find(address);
        const Taint taint{lease.holder_uid, lease.endpoint, device != nullptr ? device->vfio_node : 0};
        const auto [entry, added] = taints_.try_emplace(address, taint);
        if (added || entry->second != taint) {
            entry->second = taint;
            monitor_.vault().send(ipc::Hold{.name = held_name(address), .value = ipc::encode_value(taint)});
            monitor_.views().device_changed(address);
        }
    }
}

bool Taints::out_unbound(const PciAddress& address) const {
    const Lease* lease = monitor_.leases().holder_of(address);
    return lease != nullptr && lease->record.mode != Mode::managed;
}

void Taints::look_at(const PciAddress& address) {
    const auto taint = taints_.find(address);
    if (taint == taints_.end() || out_unbound(address)) {
        return;
    }
    // While its driver is unbound it has no node: that is a rebind on its way, or one that waits. A device that has
    // gone was waited for by the kernel.
    const Device* device = monitor_.inventory().find(address);
    if (device != nullptr && (device->vfio_node == 0 || device->vfio_node == taint->second.node)) {
        return;
    }
    log::info(fmt::format("{} was bound anew: nobody has an old descriptor of it", address.text()),
              {{"IOMMUD_DEVICE", address.text()}});
    taints_.erase(taint);
    monitor_.vault().send(ipc::Unhold{.name = held_name(address)});
    monitor_.views().device_changed(address);
}

bool Taints::free_for(const PciAddress& address, std::uint32_t uid, const std::string& endpoint) const {
    const auto taint = taints_.find(address);
    return taint == taints_.end() || (taint->second.uid == uid && taint->second.endpoint == endpoint);
}

void Taints::ask_for_rebind(const PciAddress& address) const {
    const std::string request = fmt::format("{}/rebind/{}", monitor_.options().run, address.text());
    if (::mkdir(request.c_str(), 0755) == 0) {
        log::notice(
            fmt::format("{} is wanted by somebody else than who had it unbound: asked for a rebind", address.text()),
            {{"IOMMUD_DEVICE", address.text()}});
    } else if (const int error = errno; error != EEXIST) {
        log::error(errno_message("ask for a rebind: " + request, error));
    }
}

void Taints::held(const ipc::HeldThing& thing) {
    if (!std::string_view(thing.name).starts_with(held_prefix)) {
        return;
    }
    const auto address = PciAddress::parse(std::string_view(thing.name).substr(held_prefix.size()));
    const auto taint = ipc::decode_value<Taint>(thing.value);
    if (!address || !taint) {
        throw Fatal("the vault's record of " + thing.name + " is not one of ours");
    }
    taints_[*address] = *taint;
}

void Taints::settle() {
    std::vector<PciAddress> all;
    for (const auto& [address, taint] : taints_) {
        all.push_back(address);
    }
    for (const PciAddress& address : all) {
        look_at(address);
    }
}

}  // namespace iommud::monitor
