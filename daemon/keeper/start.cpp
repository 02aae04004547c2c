#include "daemon/keeper/start.hpp"

#include <poll.h>

#include <cerrno>
#include <iterator>
#include <string>

#include "daemon/base/bounds.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::keeper {
namespace {

std::size_t expected_fds(const ipc::KeeperStart& message) {
    const bool simulated = message.kernel == KernelInterface::simulated;
    if (message.role == ipc::KeeperRole::successor) {
        return simulated ? 0 : 1;
    }
    return simulated ? 1 : 2 + message.devices.size();
}

}  // namespace

Result<Start> check_start(ipc::KeeperStart message, std::vector<UniqueFd> fds) {
    const bool keeper = message.role == ipc::KeeperRole::keeper;
    if (fds.size() != expected_fds(message)) {
        return fail(ErrorCode::internal, "KeeperStart: unexpected number of descriptors");
    }
    if (message.devices.size() > most_lease_devices || (keeper && message.devices.empty())) {
        return fail(ErrorCode::internal, "KeeperStart: unexpected number of devices");
    }
    if (message.mode == Mode::legacy || (message.mode == Mode::direct && message.kernel == KernelInterface::type1)) {
        return fail(ErrorCode::unsupported_mode, "the keeper serves no leases of that mode on that kernel");
    }
    if (keeper && (message.maps == 0 || message.maps > most_maps)) {
        return fail(ErrorCode::internal, "KeeperStart: maps must be between 1 and " + std::to_string(most_maps));
    }
    Start start;
    auto next = fds.begin();
    if (message.kernel != KernelInterface::simulated) {
        start.context = std::move(*next++);
    }
    if (keeper) {
        start.delivery = ipc::Channel(std::move(*next++));
    }
    start.devices.assign(std::make_move_iterator(next), std::make_move_iterator(fds.end()));
    start.devices.resize(keeper ? message.devices.size() : 0);
    start.message = std::move(message);
    return start;
}

Result<Start> receive_start(const ipc::Channel& control, int timeout_ms) {
    pollfd wait_for{control.fd().get(), POLLIN, 0};
    if (::poll(&wait_for, 1, timeout_ms) != 1) {
        return fail(ErrorCode::internal, "no KeeperStart came");
    }
    ipc::Packet packet;
    if (control.receive(packet) != ipc::ReceiveResult::packet) {
        return fail(ErrorCode::internal, "no KeeperStart came");
    }
    auto message = ipc::decode<ipc::KeeperStart>(packet.bytes);
    if (!message) {
        return fail(ErrorCode::internal, "the first frame is not a KeeperStart");
    }
    return check_start(*std::move(message), std::move(packet.fds));
}

}  // namespace iommud::keeper
