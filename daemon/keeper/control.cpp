#include "daemon/keeper/control.hpp"

#include <utility>

namespace iommud::keeper {
namespace {

template <class Message>
ControlEvent decoded(const ipc::Packet& packet) {
    auto message = ipc::decode<Message>(packet.bytes);
    if (!message || !packet.fds.empty()) {
        return ControlLost{};
    }
    return *std::move(message);
}

ControlEvent decoded_add(ipc::Packet& packet) {
    auto message = ipc::decode<ipc::KeeperAdd>(packet.bytes);
    if (!message || message->devices.empty() || packet.fds.empty()) {
        return ControlLost{};
    }
    return AddDevices{*std::move(message), std::exchange(packet.fds, {})};
}

}  // namespace

ControlEvent Control::receive() {
    ipc::Packet packet;
    switch (channel_.receive(packet)) {
        case ipc::ReceiveResult::empty:
            return ControlNothing{};
        case ipc::ReceiveResult::closed:
        case ipc::ReceiveResult::malformed:
            return ControlLost{};
        case ipc::ReceiveResult::packet:
            break;
    }
    const std::uint32_t type = ipc::frame_type(packet.bytes);
    if (type == static_cast<std::uint32_t>(ipc::MessageType::report_request)) {
        return decoded<ipc::ReportRequest>(packet);
    }
    if (type == static_cast<std::uint32_t>(ipc::MessageType::devices_request)) {
        return decoded<ipc::DevicesRequest>(packet);
    }
    if (type == static_cast<std::uint32_t>(ipc::MessageType::take_back)) {
        return decoded<ipc::TakeBack>(packet);
    }
    if (type == static_cast<std::uint32_t>(ipc::MessageType::keeper_add)) {
        return decoded_add(packet);
    }
    return ControlNothing{};  // of a newer monitor: a lease outlives upgrades
}

void Control::report_failure(const Error& error) const {
    // The one frame whose loss nobody would notice from later ones; the exit that follows a failed grant tells it too.
    static_cast<void>(channel_.send(ipc::KeeperFailed{error.code, error.message}));
}

}  // namespace iommud::keeper
