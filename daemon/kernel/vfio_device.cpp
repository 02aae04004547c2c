#include "daemon/kernel/vfio_device.hpp"

#include <linux/vfio.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "daemon/base/bounds.hpp"
#include "daemon/kernel/ioctl.hpp"

namespace iommud::kernel {

bool reset_works(BorrowedFd device) {
    vfio_device_info info{};
    info.argsz = sizeof info;
    return control(device, VFIO_DEVICE_GET_INFO, &info) == 0 && (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
}

int reset_together(BorrowedFd device, std::span<const BorrowedFd> groups) {
    // vfio_pci_hot_reset: argsz, flags, count, and the groups' descriptors.
    std::array<std::uint32_t, 3 + most_lease_devices> request{};
    if (groups.size() > most_lease_devices) {
        return EINVAL;
    }
    request[0] = sizeof request;
    request[2] = static_cast<std::uint32_t>(groups.size());
    std::transform(groups.begin(), groups.end(), request.begin() + 3,
                   [](BorrowedFd group) { return static_cast<std::uint32_t>(group.get()); });
    return when_unlocked([&] {
        const int error = control(device, VFIO_DEVICE_PCI_HOT_RESET, request.data());
        return error == EBUSY ? EAGAIN : error;  // somebody looks at one of its BARs just now
    });
}

int when_unlocked(const std::function<int()>& call) {
    constexpr int most_tries = 40;
    constexpr int between_ms = 50;
    int error = call();
    for (int i = 1; i < most_tries && error == EAGAIN; ++i) {
        ::poll(nullptr, 0, between_ms);
        error = call();
    }
    return error;
}

}  // namespace iommud::kernel
