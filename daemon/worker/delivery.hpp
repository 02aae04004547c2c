// The keeper's message with a lease's descriptors: waited for, and checked.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/worker/fd_watch.hpp"

namespace iommud::worker {

// Where the keeper writes, and Asio's wait for it.
struct DeliveryWait {
    DeliveryWait(boost::asio::io_context& io, UniqueFd end) : channel(std::move(end)), watch(io, channel.fd()) {}
    ipc::Channel channel;  // before `watch`, which borrows it
    FdWatch watch;
};

// What is wrong with a delivery of `fds` descriptors to a request for `devices` under `lease`; nothing when it is
// right: one known name for each descriptor, no name twice, no device that was not asked for.
[[nodiscard]] std::optional<std::string> delivery_fault(const ipc::Delivery& delivery, std::size_t fds, LeaseId lease,
                                                        std::span<const PciAddress> devices);

}  // namespace iommud::worker
