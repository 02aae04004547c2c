#include "daemon/worker/signals.hpp"

#include <utility>

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

void Signals::manager(Change change) {
    keep(manager_path, manager_interface, std::move(change));
}

void Signals::device(const PciAddress& address, Change change) {
    keep(device_path(address), device_interface, std::move(change));
}

void Signals::lease(LeaseId lease, Change change) {
    if (tells_leases_) {
        keep(lease_path(lease), lease_interface, std::move(change));
    }
}

void Signals::device_goes(const PciAddress& address) {
    removed(device_path(address));
}
void Signals::lease_goes(LeaseId lease) {
    if (tells_leases_) {
        removed(lease_path(lease));
    }
}

void Signals::keep(std::string path, const char* interface, Change change) {
    if (sd_bus_is_ready(bus_) > 0 && !change.none()) {
        kept_.push_back({std::move(path), interface, std::move(change)});
    }
}

void Signals::emit() {
    for (const Kept& one : kept_) {
        if (sd_bus_is_ready(bus_) <= 0) {
            break;
        }
        if (one.change.added) {
            check(sd_bus_emit_object_added(bus_, one.path.c_str()), "emit InterfacesAdded");
        } else {
            changed(bus_, one.path.c_str(), one.interface, one.change.properties);
        }
    }
    kept_.clear();
}

void Signals::removed(const std::string& path) {
    emit();
    if (sd_bus_is_ready(bus_) > 0) {
        check(sd_bus_emit_object_removed(bus_, path.c_str()), "emit InterfacesRemoved");
    }
}

}  // namespace iommud::worker
