#include "daemon/monitor/views.hpp"

#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

// Long enough to gather a burst, too short for a person to notice.
constexpr std::chrono::milliseconds coalesce_for{20};
constexpr std::chrono::milliseconds coalesce_longer_for{1000};

}  // namespace

bool may_see(const Connection& connection, const LeaseRecord& record) {
    switch (connection.kind()) {
        case ConnectionKind::admin:
            return true;
        case ConnectionKind::client:
            return record.holder_uid == connection.who().uid && record.endpoint == connection.endpoint();
        case ConnectionKind::system_bus:
            return record.endpoint == connection.endpoint() &&
                   (!connection.vouched() || record.holder_uid == connection.who().uid);
    }
    return false;
}

ipc::LeaseView view_of(const Lease& lease) {
    return {.record = lease.record, .state = lease.state, .mapped = lease.mapped};
}

Views::Views(Monitor& monitor) : monitor_(monitor), timer_(monitor.io()) {}

ipc::ManagerView Views::manager_view() const {
    return {.version = IOMMUD_VERSION,
            .kernel = monitor_.kernel(),
            .features = monitor_.features(),
            .policy_generation = monitor_.policy().generation(),
            .degraded = monitor_.degraded()};
}

void Views::introduce(Connection& connection) {
    monitor_.refresh_host();
    connection.send(manager_view());
    for (const auto& [address, device] : monitor_.inventory().devices()) {
        send_device(connection, address);
    }
    for (const auto& [id, lease] : monitor_.leases().all()) {
        if (may_see(connection, lease->record)) {
            connection.send(view_of(*lease));
        }
    }
    connection.send(ipc::ViewComplete{});
}

void Views::send_device(Connection& connection, const PciAddress& address) {
    const Device* device = monitor_.inventory().find(address);
    if (device == nullptr) {
        connection.send(ipc::DeviceGone{.address = address});
        return;
    }
    const Lease* holder = monitor_.leases().holder_of(address);
    const auto [state, reason] = monitor_.standing_of(*device);
    connection.send(
        ipc::DeviceView{.address = address,
                        .vendor = device->vendor.value_or(0),
                        .device = device->device.value_or(0),
                        .class_code = device->class_code.value_or(0),
                        .name = device->name,
                        .iommu_group = device->iommu_group,
                        .driver = device->driver,
                        .state = state,
                        .reason = reason,
                        .lease = holder != nullptr && may_see(connection, holder->record) ? holder->record.id : 0,
                        .numa_node = device->numa_node,
                        .capabilities = device->capabilities,
                        .path = device->path,
                        .slot = device->slot,
                        .tainted = monitor_.taints().tainted(address)});
}

void Views::manager_changed() {
    manager_ = true;
    schedule(coalesce_for);
}

void Views::device_changed(const PciAddress& address) {
    devices_.insert(address);
    schedule(coalesce_for);
}

void Views::all_devices_changed() {
    for (const auto& [address, device] : monitor_.inventory().devices()) {
        devices_.insert(address);
    }
    schedule(coalesce_for);
}

void Views::note(const Lease& lease) {
    leases_.insert_or_assign(lease.record.id, lease.record);
    for (const PciAddress& address : lease.record.devices) {
        devices_.insert(address);
        const Device* device = monitor_.inventory().find(address);
        for (const Device* member : device == nullptr ? std::vector<const Device*>()
                                                      : monitor_.inventory().group_members(device->iommu_group)) {
            devices_.insert(member->address);
        }
    }
}

void Views::lease_changed(const Lease& lease) {
    note(lease);
    schedule(coalesce_for);
}

void Views::lease_granting(const Lease& lease) {
    note(lease);
    schedule(coalesce_longer_for);
}

void Views::mapped_changed(const Lease& lease) {
    leases_.insert_or_assign(lease.record.id, lease.record);
    schedule(coalesce_longer_for);
}

void Views::decisions_changed() {
    monitor_.for_each_connection([](Connection& connection) { connection.forget_answers(); });
}

void Views::schedule(std::chrono::milliseconds within) {
    const auto due = std::chrono::steady_clock::now() + within;
    if (scheduled_ && timer_.expiry() <= due) {
        return;
    }
    scheduled_ = true;
    timer_.expires_at(due);  // what waited until later is cancelled
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (error) {
            return;
        }
        scheduled_ = false;
        monitor_.for_each_connection([this](Connection& connection) { send_changes(connection); });
        manager_ = false;
        devices_.clear();
        leases_.clear();
    });
}

void Views::bring_up_to_date(Connection& connection) {
    send_changes(connection);
}

void Views::send_changes(Connection& connection) {
    if (!connection.serving()) {
        return;
    }
    if (manager_) {
        connection.send(manager_view());
    }
    for (const auto& [id, record] : leases_) {
        if (!may_see(connection, record)) {
            continue;
        }
        if (const Lease* lease = monitor_.leases().find(id)) {
            connection.send(view_of(*lease));
        } else {
            connection.send(ipc::LeaseGone{.lease = id});
        }
    }
    for (const PciAddress& address : devices_) {
        send_device(connection, address);
    }
}

}  // namespace iommud::monitor
