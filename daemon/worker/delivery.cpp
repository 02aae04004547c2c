#include "daemon/worker/delivery.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/worker/text.hpp"

namespace iommud::worker {
namespace {

bool asked_for(std::string_view name, std::span<const PciAddress> devices) {
    constexpr std::string_view before = "device:";
    if (!name.starts_with(before)) {
        return false;
    }
    const auto address = PciAddress::parse(name.substr(before.size()));
    return address && std::find(devices.begin(), devices.end(), *address) != devices.end();
}

bool known(std::string_view name, std::span<const PciAddress> devices) {
    constexpr std::string_view group = "group:";
    const std::string_view number = name.starts_with(group) ? name.substr(group.size()) : "";
    const bool is_group = !number.empty() && number.find_first_not_of("0123456789") == std::string_view::npos;
    return name == "lease" || name == "iommu" || name == "container" || is_group || asked_for(name, devices);
}

}  // namespace

std::optional<std::string> delivery_fault(const ipc::Delivery& delivery, std::size_t fds, LeaseId lease,
                                          std::span<const PciAddress> devices) {
    if (delivery.lease != lease) {
        return fmt::format("it is for lease {}", delivery.lease);
    }
    if (delivery.names.size() != fds || fds == 0) {
        return fmt::format("{} names for {} descriptors", delivery.names.size(), fds);
    }
    for (auto name = delivery.names.begin(); name != delivery.names.end(); ++name) {
        if (!known(*name, devices)) {
            return fmt::format("unexpected name {}", in_quotes(*name));
        }
        if (std::find(delivery.names.begin(), name, *name) != name) {
            return fmt::format("name {} twice", in_quotes(*name));
        }
    }
    return std::nullopt;
}

}  // namespace iommud::worker
