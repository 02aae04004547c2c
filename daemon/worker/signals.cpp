#include "daemon/worker/signals.hpp"

#include "daemon/worker/names.hpp"

namespace iommud::worker {
namespace {

void check(int result, const char* what) {
    if (!hung_up(result)) {
        must(result, what);
    }
}

void changed(sd_bus* bus, const char* path, const char* interface, const std::vector<const char*>& properties) {
    std::vector<char*> names;
    names.reserve(properties.size() + 1);
    for (const char* name : properties) {
        names.push_back(const_cast<char*>(name));  // sd-bus only reads them
    }
    names.push_back(nullptr);
    check(sd_bus_emit_properties_changed_strv(bus, path, interface, names.data()), "emit PropertiesChanged");
}

}  // namespace

void Signals::manager(const Change& change) const {
    if (sd_bus_is_ready(bus_) > 0 && !change.properties.empty()) {
        changed(bus_, manager_path, manager_interface, change.properties);
    }
}

void Signals::device(const PciAddress& address, const Change& change) const {
    if (!change.none()) {
        object(device_path(address), device_interface, change);
    }
}

void Signals::lease(LeaseId lease, const Change& change) const {
    if (tells_leases_ && !change.none()) {
        object(lease_path(lease), lease_interface, change);
    }
}

void Signals::device_goes(const PciAddress& address) const {
    removed(device_path(address));
}
void Signals::lease_goes(LeaseId lease) const {
    if (tells_leases_) {
        removed(lease_path(lease));
    }
}

void Signals::object(const std::string& path, const char* interface, const Change& change) const {
    if (sd_bus_is_ready(bus_) <= 0) {
        return;
    }
    if (change.added) {
        check(sd_bus_emit_object_added(bus_, path.c_str()), "emit InterfacesAdded");
    } else {
        changed(bus_, path.c_str(), interface, change.properties);
    }
}

void Signals::removed(const std::string& path) const {
    if (sd_bus_is_ready(bus_) > 0) {
        check(sd_bus_emit_object_removed(bus_, path.c_str()), "emit InterfacesRemoved");
    }
}

}  // namespace iommud::worker
