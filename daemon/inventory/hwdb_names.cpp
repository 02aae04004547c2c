#include "daemon/inventory/hwdb_names.hpp"

#include <fmt/format.h>
#include <systemd/sd-hwdb.h>

namespace iommud {
namespace {

std::string value_of(sd_hwdb* database, const std::string& modalias, const char* key) {
    const char* value = nullptr;
    return sd_hwdb_get(database, modalias.c_str(), key, &value) >= 0 && value != nullptr ? value : "";
}

// As the kernel writes a PCI device's modalias, which is what the database's patterns are for.
std::string modalias_of(const Device& device) {
    const std::uint32_t code = device.class_code.value_or(0);
    return fmt::format("pci:v{:08X}d{:08X}sv{:08X}sd{:08X}bc{:02X}sc{:02X}i{:02X}", *device.vendor, *device.device,
                       device.subsystem_vendor.value_or(0), device.subsystem_device.value_or(0), code >> 16 & 0xff,
                       code >> 8 & 0xff, code & 0xff);
}

}  // namespace

HwdbNames::HwdbNames() {
    sd_hwdb* database = nullptr;
    if (sd_hwdb_new(&database) >= 0) {
        database_.reset(database, [](sd_hwdb* last) { sd_hwdb_unref(last); });
    }
}

std::string HwdbNames::operator()(const Device& device) const {
    if (!database_ || !device.vendor || !device.device) {
        return {};
    }
    const std::string modalias = modalias_of(device);
    const std::string vendor = value_of(database_.get(), modalias, "ID_VENDOR_FROM_DATABASE");
    const std::string model = value_of(database_.get(), modalias, "ID_MODEL_FROM_DATABASE");
    const std::string name = vendor + (vendor.empty() || model.empty() ? "" : " ") + model;
    // Not cut: half a character would not be UTF-8.
    return name.size() <= 255 ? name : std::string();
}

}  // namespace iommud
