#include "daemon/base/pci_path.hpp"

#include <algorithm>

#include "daemon/base/pci_address.hpp"

namespace iommud {
namespace {

constexpr std::string_view first_domain = "0000:";

// "1c.4", behind a bus number of any kind.
bool is_below(std::string_view part) {
    return PciAddress::parse("0000:00:" + std::string(part)).has_value();
}

std::string without_first_domain(std::string_view text) {
    return std::string(text.starts_with(first_domain) ? text.substr(first_domain.size()) : text);
}

}  // namespace

std::optional<std::string> parse_pci_path(std::string_view text) {
    const std::string_view root = text.substr(0, text.find('/'));
    if (!PciAddress::parse(root) && !PciAddress::parse(std::string(first_domain).append(root))) {
        return std::nullopt;
    }
    for (std::string_view rest = text.substr(root.size()); !rest.empty();) {
        rest.remove_prefix(1);
        const std::string_view part = rest.substr(0, rest.find('/'));
        if (!is_below(part)) {
            return std::nullopt;
        }
        rest.remove_prefix(part.size());
    }
    return without_first_domain(text);
}

std::optional<std::string> pci_path_of(std::string_view real_path) {
    std::string path;
    for (std::string_view rest = real_path; !rest.empty();) {
        const std::string_view part = rest.substr(0, rest.find('/'));
        rest.remove_prefix(std::min(rest.size(), part.size() + 1));
        const auto address = PciAddress::parse(part);
        if (!address) {
            path.clear();  // what comes before the last run of addresses: the host bridge, and a domain's own device
            continue;
        }
        path += path.empty() ? without_first_domain(part) : "/" + std::string(part.substr(part.rfind(':') + 1));
    }
    return path.empty() ? std::nullopt : std::optional(path);
}

}  // namespace iommud
