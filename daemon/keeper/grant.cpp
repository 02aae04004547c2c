#include "daemon/keeper/grant.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "daemon/keeper/failpoint.hpp"

namespace iommud::keeper {
namespace {

bool contains(std::span<const PciAddress> list, const PciAddress& address) {
    return std::find(list.begin(), list.end(), address) != list.end();
}

Result<void> add_one(kernel::DmaContext& context, UniqueFd fd, const PciAddress& address, const Asked& asked,
                     GrantedDevices& granted) {
    failpoint("bind");
    const auto device = context.add_device(std::move(fd), address,
                                           contains(asked.vf_token_for, address) ? asked.vf_token : std::nullopt);
    if (!device) {
        return tl::unexpected(device.error());
    }
    failpoint("attached");
    if (!device->reset_works) {
        granted.no_reset.push_back(address);  // known only now
    }
    granted.names.push_back("device:" + address.text());
    granted.fds.push_back(device->fd);
    return {};
}

bool functions_of_one(const PciAddress& one, const PciAddress& other) {
    return one.domain == other.domain && one.bus == other.bus && one.slot == other.slot;
}

// Without a reset the next holder would meet the last one's device. One that has none of its own is reset with its bus
// or slot, when all of that is this lease's: while it begins, so that a device in use is not hit.
Result<void> reset_others(kernel::DmaContext& context, bool beginning, const Asked& asked, GrantedDevices& granted) {
    std::optional<PciAddress> last;
    for (std::size_t i = 0; i < asked.devices.size(); ++i) {
        const PciAddress& address = asked.devices[i];
        if (!contains(granted.no_reset, address) || contains(asked.no_reset_allowed, address)) {
            continue;
        }
        const int error = !beginning                                 ? EINVAL
                          : last && functions_of_one(*last, address) ? 0
                                                                     : context.reset_together(granted.fds[i]);
        if (error != 0) {
            return fail(ErrorCode::access_denied,
                        "device " + address.text() + " cannot be reset between holders, " +
                            (error == EINVAL ? "unless a lease begins with all that is on its bus"
                                             : errno_message("neither by itself nor with its bus", error)) +
                            ", and no rule has allow_no_reset");
        }
        last = address;
    }
    return {};
}

}  // namespace

Result<GrantedDevices> add_devices(kernel::DmaContext& context, std::size_t already_there, std::vector<UniqueFd> fds,
                                   const Asked& asked) {
    GrantedDevices granted;
    for (std::size_t i = 0; i < asked.devices.size(); ++i) {
        if (auto added = add_one(context, std::move(fds[i]), asked.devices[i], asked, granted); !added) {
            context.remove_devices(already_there);
            return tl::unexpected(std::move(added).error());
        }
    }
    if (auto reset = reset_others(context, already_there == 0, asked, granted); !reset) {
        context.remove_devices(already_there);
        return tl::unexpected(std::move(reset).error());
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
