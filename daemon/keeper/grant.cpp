#include "daemon/keeper/grant.hpp"

#include <algorithm>
#include <utility>

#include "daemon/keeper/failpoint.hpp"

namespace iommud::keeper {
namespace {

bool contains(std::span<const PciAddress> list, const PciAddress& address) {
    return std::find(list.begin(), list.end(), address) != list.end();
}

Result<void> add_one(kernel::DmaContext& context, UniqueFd fd, const PciAddress& address,
                     std::span<const PciAddress> no_reset_allowed, GrantedDevices& granted) {
    failpoint("bind");
    const auto device = context.add_device(std::move(fd), address);
    if (!device) {
        return tl::unexpected(device.error());
    }
    failpoint("attached");
    // Whether the reset works is known only now. Without one the next holder would meet the last one's device.
    if (!device->reset_works) {
        if (!contains(no_reset_allowed, address)) {
            return fail(
                ErrorCode::access_denied,
                "device " + address.text() + " cannot be reset between holders, and no rule has allow_no_reset");
        }
        granted.no_reset.push_back(address);
    }
    granted.names.push_back("device:" + address.text());
    granted.fds.push_back(device->fd);
    return {};
}

}  // namespace

Result<GrantedDevices> add_devices(kernel::DmaContext& context, std::size_t already_there, std::vector<UniqueFd> fds,
                                   std::span<const PciAddress> addresses,
                                   std::span<const PciAddress> no_reset_allowed) {
    GrantedDevices granted;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        if (auto added = add_one(context, std::move(fds[i]), addresses[i], no_reset_allowed, granted); !added) {
            context.remove_devices(already_there);
            return tl::unexpected(std::move(added).error());
        }
    }
    return granted;
}

Result<void> deliver(const ipc::Channel& delivery, LeaseId lease, const GrantedDevices& devices, BorrowedFd lease_end,
                     BorrowedFd context) {
    failpoint("deliver");
    ipc::Delivery message{lease, {}};
    std::vector<BorrowedFd> fds;
    if (lease_end.valid()) {
        message.names.emplace_back("lease");
        fds.push_back(lease_end);
    }
    if (context.valid()) {
        message.names.emplace_back("iommu");
        fds.push_back(context);
    }
    message.names.insert(message.names.end(), devices.names.begin(), devices.names.end());
    fds.insert(fds.end(), devices.fds.begin(), devices.fds.end());
    const ipc::SendResult result = delivery.send(message, fds);
    failpoint("delivered");
    switch (result) {
        case ipc::SendResult::sent:
            return {};
        case ipc::SendResult::full:
            // Nothing else is in this channel, so it is ETOOMANYREFS: counted for the uid that all keepers of an
            // account share, against RLIMIT_NOFILE (too_many_unix_fds in net/unix/af_unix.c).
            return fail(ErrorCode::lease_limit,
                        "too many descriptors of this account's leases are under way, sent and not yet received: the "
                        "kernel allows " +
                            std::to_string(most_descriptors) + " (RLIMIT_NOFILE of its keepers)");
        case ipc::SendResult::closed:
            break;
        case ipc::SendResult::failed:
            return fail(ErrorCode::internal, "the lease's descriptors cannot be sent");
    }
    return fail(ErrorCode::internal, "whoever asked for the lease is gone");
}

}  // namespace iommud::keeper
