#include "daemon/vault/requests.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <initializer_list>

#include "daemon/base/bounds.hpp"
#include "daemon/base/uuid.hpp"

namespace iommud::vault {
namespace {

constexpr LeaseId most_leases_ever = LeaseId{1} << 56;  // the loop's events carry ids of so many bits

bool is_socket(const UniqueFd& fd, int option, int wanted) {
    int value = -1;
    socklen_t size = sizeof value;
    return ::getsockopt(fd.get(), SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

// Each descriptor is an AF_UNIX socket of the type given for it, and there are no others. A file that is no socket
// could be one whose last close waits for somebody.
bool are_sockets(const ipc::Packet& packet, std::initializer_list<int> types) {
    return packet.fds.size() == types.size() &&
           std::equal(types.begin(), types.end(), packet.fds.begin(), [](int type, const UniqueFd& fd) {
               return is_socket(fd, SO_DOMAIN, AF_UNIX) && is_socket(fd, SO_TYPE, type);
           });
}

bool is_real_uid(std::uint32_t uid) {
    return uid != ~0U;
}

// Whether a monitor of ours could have sent it at all, whatever users and policy ask for.
bool acceptable(const ipc::StartWorker& request, const ipc::Packet& packet) {
    return request.slot < ipc::max_worker_slot &&
           (request.kind == ConnectionKind::system_bus ? are_sockets(packet, {SOCK_SEQPACKET})
                                                       : are_sockets(packet, {SOCK_STREAM, SOCK_SEQPACKET}));
}
bool acceptable(const ipc::GrantLease& request, const ipc::Packet& packet) {
    return request.lease > 0 && request.lease < most_leases_ever && is_real_uid(request.account_uid) &&
           request.mode != Mode::legacy && is_real_uid(request.holder_uid) &&
           request.holder_slot < ipc::max_worker_slot && are_sockets(packet, {SOCK_SEQPACKET});
}
bool acceptable(const ipc::ExtendLease&, const ipc::Packet& packet) {
    return are_sockets(packet, {SOCK_SEQPACKET});
}
bool acceptable(const ipc::SetLimit& request, const ipc::Packet& packet) {
    return is_real_uid(request.account_uid) && packet.fds.empty();
}
bool acceptable(const ipc::KillChild&, const ipc::Packet& packet) {
    return packet.fds.empty();
}
bool acceptable(const ipc::CondemnHolder& request, const ipc::Packet& packet) {
    return request.grace_usec <= ipc::max_grace_usec && packet.fds.empty();
}
bool acceptable(const ipc::Hold&, const ipc::Packet& packet) {
    const bool listener = packet.fds.size() == 1 && is_socket(packet.fds[0], SO_DOMAIN, AF_UNIX) &&
                          is_socket(packet.fds[0], SO_ACCEPTCONN, 1);
    return packet.fds.empty() || listener;
}
bool acceptable(const ipc::Unhold&, const ipc::Packet& packet) {
    return packet.fds.empty();
}

Result<void> within(const char* what, std::uint64_t value, std::uint64_t least, std::uint64_t most) {
    if (value < least || value > most) {
        return fail(ErrorCode::internal, fmt::format("{} {}, the vault takes {} to {}", value, what, least, most));
    }
    return {};
}

Result<void> are_devices(std::vector<PciAddress> devices, const std::vector<PciAddress>& some) {
    if (auto fits = within("devices", devices.size(), 1, most_lease_devices); !fits) {
        return fits;
    }
    std::sort(devices.begin(), devices.end());
    const bool asked = std::all_of(some.begin(), some.end(), [&devices](const auto& address) {
        return std::binary_search(devices.begin(), devices.end(), address);
    });
    if (std::adjacent_find(devices.begin(), devices.end()) != devices.end() || !asked || some.size() > devices.size()) {
        return fail(ErrorCode::internal, "the list of devices has one twice, or a list of some of them another one");
    }
    return {};
}

Result<void> is_token(const std::string& token) {
    if (!token.empty() && !parse_uuid(token)) {
        return fail(ErrorCode::internal, "the VF token is no UUID");
    }
    return {};
}

Result<void> all_of(std::initializer_list<Result<void>> checks) {
    const auto* const failed = std::find_if(checks.begin(), checks.end(), [](const auto& check) { return !check; });
    return failed == checks.end() ? Result<void>() : *failed;
}

bool acceptable(const ipc::ReplaceUndertaker&, const ipc::Packet& packet) {
    return packet.fds.empty();
}

template <class Message>
Result<Request> read_as(const ipc::Packet& packet) {
    auto request = ipc::decode<Message>(packet.bytes);
    if (!request || !acceptable(*request, packet)) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("frame of type {}, {} bytes, {} descriptors: not acceptable",
                                static_cast<std::uint32_t>(Message::type), packet.bytes.size(), packet.fds.size()));
    }
    return Request(std::move(*request));
}

template <class... Messages>
Result<Request> read_one_of(const ipc::Packet& packet, std::variant<Messages...>*) {
    const std::uint32_t type = ipc::frame_type(packet.bytes);
    Result<Request> request = fail(ErrorCode::invalid_argument, fmt::format("frame of unknown type {}", type));
    static_cast<void>(
        ((static_cast<std::uint32_t>(Messages::type) == type && (request = read_as<Messages>(packet), true)) || ...));
    return request;
}

}  // namespace

Result<Request> read_request(const ipc::Packet& packet) {
    return read_one_of(packet, static_cast<Request*>(nullptr));
}

Result<void> within_bounds(const ipc::GrantLease& request) {
    return all_of({within("memory reserved", request.reserve, 0, most_memory),
                   within("memory to lock", request.memlock, 0, most_memory),
                   within("memory of the cgroup", request.memory_max, 0, most_memory),
                   within("maps", request.maps, 1, most_maps), are_devices(request.devices, request.no_reset_allowed),
                   within("bytes of the record", request.record.size(), 1, ipc::max_record), is_token(request.vf_token),
                   are_devices(request.devices, request.vf_token_for)});
}

Result<void> within_bounds(const ipc::ExtendLease& request) {
    return all_of({are_devices(request.devices, request.no_reset_allowed),
                   within("bytes of the record", request.record.size(), 1, ipc::max_record), is_token(request.vf_token),
                   are_devices(request.devices, request.vf_token_for)});
}

Result<void> within_bounds(const ipc::SetLimit& request) {
    return all_of({within("memory to lock", request.memlock, 0, most_memory),
                   within("memory of the cgroup", request.memory_max, 0, most_memory)});
}

Result<void> within_bounds(const ipc::Hold& request) {
    return within("bytes of the name", request.name.size(), 1, longest_thing_name);
}

}  // namespace iommud::vault
