// /org/iommud1/device/<address>: org.iommud1.Device.
#include <cstdlib>
#include <memory>

#include "daemon/worker/names.hpp"
#include "daemon/worker/paths.hpp"
#include "daemon/worker/session.hpp"
#include "daemon/worker/text.hpp"

namespace iommud::worker {
namespace {

using ipc::DeviceView;

template <auto Member>
constexpr auto member = [](const DeviceView& view) { return view.*Member; };
template <auto Get>
constexpr sd_bus_property_get_t get = property<DeviceView, Get>;

int lease_property(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* userdata,
                   sd_bus_error*) noexcept {
    return append_path(reply, static_cast<const DeviceView*>(userdata)->lease);
}

constexpr auto address = [](const DeviceView& view) { return view.address.text(); };
constexpr auto state = [](const DeviceView& view) { return name_of(view.state); };

const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Address", "s", get<address>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("VendorId", "q", get<member<&DeviceView::vendor>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("DeviceId", "q", get<member<&DeviceView::device>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Class", "u", get<member<&DeviceView::class_code>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Name", "s", get<member<&DeviceView::name>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("IommuGroup", "i", get<member<&DeviceView::iommu_group>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Driver", "s", get<member<&DeviceView::driver>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("State", "s", get<state>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("StateReason", "s", get<member<&DeviceView::reason>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Lease", "o", lease_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("NumaNode", "i", get<member<&DeviceView::numa_node>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Capabilities", "as", get<member<&DeviceView::capabilities>>, 0,
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Path", "s", get<member<&DeviceView::path>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Slot", "s", get<member<&DeviceView::slot>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Tainted", "b", get<member<&DeviceView::tainted>>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_VTABLE_END,
};

// Null: no device's path.
const DeviceView* device_at(const Session& session, const char* path) {
    char* decoded = nullptr;
    const int result = sd_bus_path_decode(path, device_prefix, &decoded);
    const std::unique_ptr<char, decltype(&std::free)> text(decoded, &std::free);
    const auto known = result > 0 ? PciAddress::parse(text.get()) : std::nullopt;
    return known ? session.replica.device(*known) : nullptr;
}

// The device behind a path, as the vtable's userdata.
int find_device(sd_bus*, const char* path, const char*, void* userdata, void** found, sd_bus_error*) noexcept {
    Session& session = *static_cast<Session*>(userdata);
    try {
        const DeviceView* const view = device_at(session, path);
        *found = const_cast<DeviceView*>(view);  // getters only read
        return view == nullptr ? 0 : 1;
    } catch (...) {
        session.failure.keep(std::current_exception());
        return -ECANCELED;
    }
}

Result<void> is_device(Session& session, sd_bus_message* call) {
    const char* const path = sd_bus_message_get_path(call);
    return path == std::string_view(device_prefix) || device_at(session, path) != nullptr
               ? Result<void>()
               : fail(ErrorCode::no_such_device, "there is no device at " + in_quotes(path));
}

int list_devices(sd_bus*, const char*, void* userdata, char*** nodes, sd_bus_error*) noexcept {
    Session& session = *static_cast<Session*>(userdata);
    return list_nodes(
        session.replica.devices(), [](const auto& entry) { return device_path(entry.first); }, nodes, session.failure);
}

}  // namespace

void add_devices(sd_bus* bus, Session& session) {
    must(sd_bus_add_fallback(bus, nullptr, device_prefix, refuse_absent<is_device>, &session), "refuse other devices");
    must(sd_bus_add_fallback_vtable(bus, nullptr, device_prefix, device_interface, vtable, find_device, &session),
         "add the devices");
    must(sd_bus_add_node_enumerator(bus, nullptr, device_prefix, list_devices, &session), "add the devices' paths");
}

}  // namespace iommud::worker
