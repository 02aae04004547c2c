#include "daemon/monitor/vault_stub.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace iommud::monitor {
namespace {

ipc::Channel connect_to(const std::string& path) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (!socket.valid() || path.size() >= sizeof address.sun_path) {
        throw Fatal("cannot make a socket for the vault at " + path);
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
        throw Fatal(errno_message("connect to the vault at " + path, errno));
    }
    return ipc::Channel(std::move(socket));
}

// The two descriptors of a frame that carries a keeper; both or a vault that is not ours.
std::pair<ipc::Channel, UniqueFd> keeper_of(ipc::Packet& packet) {
    if (packet.fds.size() != 2) {
        throw Fatal("the vault sent a keeper without its channel and pidfd");
    }
    return {ipc::Channel(std::move(packet.fds[0])), std::move(packet.fds[1])};
}

template <class Message>
Message expect(const ipc::Packet& packet) {
    std::optional<Message> message = ipc::decode<Message>(packet.bytes);
    if (!message) {
        throw Fatal("the vault sent a malformed frame");
    }
    return std::move(*message);
}

}  // namespace

VaultStub::VaultStub(boost::asio::io_context& io, const std::string& socket_path, Handlers handlers)
    : handlers_(std::move(handlers)) {
    channel_ = AsyncChannel::open(io, connect_to(socket_path), {.most_fds = 2, .most_queued = 8 * 1024 * 1024},
                                  {.packet = [this](ipc::Packet& received) { packet(received); },
                                   .ended = [](const std::string& why) -> void { throw Fatal("the vault " + why); }});
}

void VaultStub::packet(ipc::Packet& received) {
    using ipc::MessageType;
    const auto type = static_cast<MessageType>(ipc::frame_type(received.bytes));
    if (type == MessageType::vault_hello) {
        handlers_.hello(expect<ipc::VaultHello>(received));
    } else if (type == MessageType::held_lease) {
        const bool to_come = received.fds.empty();
        auto [channel, pidfd] = to_come ? std::pair<ipc::Channel, UniqueFd>() : keeper_of(received);
        handlers_.held_lease(expect<ipc::HeldLease>(received), std::move(channel), std::move(pidfd));
    } else if (type == MessageType::held_thing) {
        UniqueFd held = received.fds.empty() ? UniqueFd() : std::move(received.fds[0]);
        handlers_.held_thing(expect<ipc::HeldThing>(received), std::move(held));
    } else if (type == MessageType::holdings_complete) {
        handlers_.holdings_complete();
    } else if (type == MessageType::worker_exited) {
        handlers_.worker_exited(expect<ipc::WorkerExited>(received));
    } else if (type == MessageType::grant_result) {
        const auto result = expect<ipc::GrantResult>(received);
        if (result.granted) {
            auto [channel, pidfd] = keeper_of(received);
            handlers_.grant_result(result, std::move(channel), std::move(pidfd));
        } else {
            handlers_.grant_result(result, {}, {});
        }
    } else if (type == MessageType::extend_result) {
        handlers_.extend_result(expect<ipc::ExtendResult>(received));
    } else if (type == MessageType::keeper_died) {
        auto [channel, pidfd] = keeper_of(received);
        handlers_.keeper_died(expect<ipc::KeeperDied>(received), std::move(channel), std::move(pidfd));
    } else if (type == MessageType::lease_ended) {
        handlers_.lease_ended(expect<ipc::LeaseEnded>(received));
    } else if (type == MessageType::undertaker_coming) {
        if (received.fds.size() != 1) {
            throw Fatal("the vault sent an undertaker without its channel");
        }
        handlers_.undertaker_coming(expect<ipc::UndertakerComing>(received), ipc::Channel(std::move(received.fds[0])));
    } else {
        throw Fatal("the vault sent a frame of an unknown type");
    }
}

}  // namespace iommud::monitor
