#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "daemon/inventory/uevent.hpp"

namespace iommud {
namespace {

UeventAction action_of(std::string_view word) {
    constexpr std::array<std::pair<std::string_view, UeventAction>, 5> words{{{"add", UeventAction::add},
                                                                              {"remove", UeventAction::remove},
                                                                              {"bind", UeventAction::bind},
                                                                              {"unbind", UeventAction::unbind},
                                                                              {"change", UeventAction::change}}};
    for (const auto& [known, action] : words) {
        if (word == known) {
            return action;
        }
    }
    return UeventAction::other;
}

// Cuts the last component off a path and gives it.
std::string_view take_last(std::string_view& path) {
    const std::size_t slash = path.rfind('/');
    const std::string_view last = path.substr(slash + 1);  // npos + 1 is 0: all of it
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
    return last;
}

std::optional<PciAddress> device_of(std::string_view subsystem, std::string_view devpath) {
    if (subsystem == "vfio-dev") {  // .../0000:00:04.0/vfio-dev/vfio0
        (void)take_last(devpath);
        if (take_last(devpath) != "vfio-dev") {
            return std::nullopt;
        }
    } else if (subsystem != "pci") {
        return std::nullopt;
    }
    return PciAddress::parse(take_last(devpath));
}

}  // namespace

std::optional<Uevent> parse_uevent(std::span<const char> datagram) {
    std::string_view rest(datagram.data(), datagram.size());
    if (rest.empty() || rest.back() != '\0') {
        return std::nullopt;
    }
    const std::string_view head = rest.substr(0, rest.find('\0'));
    const std::size_t at = head.find('@');
    if (at == 0 || at == std::string_view::npos || at + 1 >= head.size() || head[at + 1] != '/') {
        return std::nullopt;
    }
    Uevent event;
    event.action = action_of(head.substr(0, at));
    event.devpath = head.substr(at + 1);
    constexpr std::string_view key = "SUBSYSTEM=";
    for (rest.remove_prefix(head.size() + 1); !rest.empty(); rest.remove_prefix(rest.find('\0') + 1)) {
        const std::string_view line = rest.substr(0, rest.find('\0'));
        if (line.starts_with(key)) {
            event.subsystem = line.substr(key.size());
            break;
        }
    }
    event.device = device_of(event.subsystem, event.devpath);
    return event;
}

bool sent_by_kernel(const UeventSender& sender) {
    return sender.netlink_port == 0 && sender.netlink_groups == 1 && sender.uid == 0U;
}

}  // namespace iommud
