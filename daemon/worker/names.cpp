#include "daemon/worker/names.hpp"

#include <systemd/sd-bus.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "daemon/base/result.hpp"

namespace iommud::worker {

std::string device_path(const PciAddress& address) {
    char* raw = nullptr;
    const int result = sd_bus_path_encode(device_prefix, address.text().c_str(), &raw);
    if (result < 0) {
        throw Fatal(errno_message("make a device's path", -result));
    }
    const std::unique_ptr<char, decltype(&std::free)> path(raw, &std::free);
    return path.get();
}

std::string lease_path(LeaseId lease) {
    return lease == 0 ? "/" : std::string(lease_prefix_slash) + std::to_string(lease);
}

}  // namespace iommud::worker
