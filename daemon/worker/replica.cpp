#include "daemon/worker/replica.hpp"

#include <span>
#include <utility>

namespace iommud::worker {
namespace {

template <class View>
struct Property {
    const char* name;
    bool (*differs)(const View&, const View&);
};

template <class View, auto Member>
bool differs(const View& left, const View& right) {
    return left.*Member != right.*Member;
}
template <auto Member>
bool record_differs(const ipc::LeaseView& left, const ipc::LeaseView& right) {
    return left.record.*Member != right.record.*Member;
}

constexpr Property<ipc::ManagerView> manager_properties[] = {
    {"Version", differs<ipc::ManagerView, &ipc::ManagerView::version>},
    {"KernelInterface", differs<ipc::ManagerView, &ipc::ManagerView::kernel>},
    {"Features", differs<ipc::ManagerView, &ipc::ManagerView::features>},
    {"PolicyGeneration", differs<ipc::ManagerView, &ipc::ManagerView::policy_generation>},
    {"Degraded", differs<ipc::ManagerView, &ipc::ManagerView::degraded>},
};

constexpr Property<ipc::DeviceView> device_properties[] = {
    {"VendorId", differs<ipc::DeviceView, &ipc::DeviceView::vendor>},
    {"DeviceId", differs<ipc::DeviceView, &ipc::DeviceView::device>},
    {"Class", differs<ipc::DeviceView, &ipc::DeviceView::class_code>},
    {"Name", differs<ipc::DeviceView, &ipc::DeviceView::name>},
    {"IommuGroup", differs<ipc::DeviceView, &ipc::DeviceView::iommu_group>},
    {"Driver", differs<ipc::DeviceView, &ipc::DeviceView::driver>},
    {"State", differs<ipc::DeviceView, &ipc::DeviceView::state>},
    {"StateReason", differs<ipc::DeviceView, &ipc::DeviceView::reason>},
    {"Lease", differs<ipc::DeviceView, &ipc::DeviceView::lease>},
    {"NumaNode", differs<ipc::DeviceView, &ipc::DeviceView::numa_node>},
    {"Capabilities", differs<ipc::DeviceView, &ipc::DeviceView::capabilities>},
    {"Path", differs<ipc::DeviceView, &ipc::DeviceView::path>},
    {"Slot", differs<ipc::DeviceView, &ipc::DeviceView::slot>},
    {"Tainted", differs<ipc::DeviceView, &ipc::DeviceView::tainted>},
};

// What identifies a lease is fixed when it is granted and has no entry here; nor has what is mapped, which changes with
// each map: a client that maps and never reads its connection would have it filled with signals.
constexpr Property<ipc::LeaseView> lease_properties[] = {
    {"Devices", record_differs<&LeaseRecord::devices>},
    {"MemoryReserved", record_differs<&LeaseRecord::memory>},
    {"State", differs<ipc::LeaseView, &ipc::LeaseView::state>},
};

template <class View>
std::vector<const char*> differences(std::span<const Property<View>> all, const View& before, const View& after) {
    std::vector<const char*> changed;
    for (const Property<View>& property : all) {
        if (property.differs(before, after)) {
            changed.push_back(property.name);
        }
    }
    return changed;
}

template <class Map, class Key, class View>
Change put(Map& map, const Key& key, View view, std::span<const Property<View>> properties) {
    const auto known = map.find(key);
    if (known == map.end()) {
        map.emplace(key, std::move(view));
        return {.added = true, .properties = {}};
    }
    Change change{.added = false, .properties = differences(properties, known->second, view)};
    known->second = std::move(view);
    return change;
}

}  // namespace

Change Replica::apply(ipc::ManagerView view) {
    Change change{
        .added = false,
        .properties = differences(std::span<const Property<ipc::ManagerView>>(manager_properties), manager_, view)};
    manager_ = std::move(view);
    return change;
}

Change Replica::apply(ipc::DeviceView view) {
    const PciAddress address = view.address;
    view.lease = tells_leases_ ? view.lease : 0;
    return put(devices_, address, std::move(view), std::span<const Property<ipc::DeviceView>>(device_properties));
}

Change Replica::apply(ipc::LeaseView view) {
    const LeaseId lease = view.record.id;
    const auto known = leases_.find(lease);
    // A lease's life goes one way: a view that was made before the delivery came does not take it back.
    if (known != leases_.end() && view.state == LeaseState::granting) {
        view.state = known->second.state;
    }
    return put(leases_, lease, std::move(view), std::span<const Property<ipc::LeaseView>>(lease_properties));
}

Delivered Replica::delivered(LeaseId lease, const std::optional<ipc::LeaseView>& view) {
    Delivered delivered;
    auto known = leases_.find(lease);
    if (known == leases_.end() && view) {
        known = leases_.emplace(lease, *view).first;
        delivered.lease.added = true;
    }
    if (known == leases_.end() || known->second.state != LeaseState::granting) {
        return delivered;
    }
    known->second.state = LeaseState::active;
    if (!delivered.lease.added) {
        delivered.lease.properties = {"State"};
    }
    for (const PciAddress& address : known->second.record.devices) {
        const auto device = devices_.find(address);
        if (device != devices_.end() && device->second.state == DeviceState::available) {
            device->second.state = DeviceState::leased;
            device->second.lease = tells_leases_ ? lease : 0;
            delivered.devices.push_back(address);
        }
    }
    return delivered;
}

const ipc::DeviceView* Replica::device(const PciAddress& address) const {
    const auto known = devices_.find(address);
    return known == devices_.end() ? nullptr : &known->second;
}

const ipc::LeaseView* Replica::lease(LeaseId lease) const {
    const auto known = leases_.find(lease);
    return known == leases_.end() ? nullptr : &known->second;
}

}  // namespace iommud::worker
