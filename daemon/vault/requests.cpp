#include "daemon/vault/requests.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <initializer_list>

#include "daemon/base/uuid.hpp"

namespace iommud::vault {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t{1} << 62;
constexpr std::uint32_t most_maps = 4096;
constexpr LeaseId most_leases_ever = LeaseId{1} << 56;  // the loop's events carry ids of so many bits
constexpr std::size_t longest_name = 255;

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

bool are_devices(std::vector<PciAddress> devices, const std::vector<PciAddress>& no_reset_allowed) {
    std::sort(devices.begin(), devices.end());
    const bool unique = std::adjacent_find(devices.begin(), devices.end()) == devices.end();
    return unique && !devices.empty() && devices.size() <= ipc::max_lease_devices &&
           no_reset_allowed.size() <= devices.size() &&
           std::all_of(no_reset_allowed.begin(), no_reset_allowed.end(), [&devices](const PciAddress& address) {
               return std::binary_search(devices.begin(), devices.end(), address);
           });
}

bool is_token(const std::string& token) {
    return token.empty() || parse_uuid(token).has_value();
}

bool is_record(const ipc::Bytes& record) {
    return !record.empty() && record.size() <= ipc::max_record;
}

bool acceptable(const ipc::StartWorker& request, const ipc::Packet& packet) {
    return request.slot < ipc::max_worker_slot &&
           (request.kind == ConnectionKind::system_bus ? are_sockets(packet, {SOCK_SEQPACKET})
                                                       : are_sockets(packet, {SOCK_STREAM, SOCK_SEQPACKET}));
}
bool acceptable(const ipc::GrantLease& request, const ipc::Packet& packet) {
    return request.lease > 0 && request.lease < most_leases_ever && is_real_uid(request.account_uid) &&
           request.reserve <= most_bytes && request.memlock <= most_bytes && request.memory_max <= most_bytes &&
           request.mode != Mode::legacy && is_real_uid(request.holder_uid) &&
           request.holder_slot < ipc::max_worker_slot && request.maps > 0 && request.maps <= most_maps &&
           are_devices(request.devices, request.no_reset_allowed) && is_record(request.record) &&
           is_token(request.vf_token) && are_sockets(packet, {SOCK_SEQPACKET});
}
bool acceptable(const ipc::ExtendLease& request, const ipc::Packet& packet) {
    return are_devices(request.devices, request.no_reset_allowed) && is_record(request.record) &&
           is_token(request.vf_token) && are_sockets(packet, {SOCK_SEQPACKET});
}
bool acceptable(const ipc::SetLimit& request, const ipc::Packet& packet) {
    return is_real_uid(request.account_uid) && request.memlock <= most_bytes && request.memory_max <= most_bytes &&
           packet.fds.empty();
}
bool acceptable(const ipc::KillChild&, const ipc::Packet& packet) {
    return packet.fds.empty();
}
bool acceptable(const ipc::Hold& request, const ipc::Packet& packet) {
    const bool listener = packet.fds.size() == 1 && is_socket(packet.fds[0], SO_DOMAIN, AF_UNIX) &&
                          is_socket(packet.fds[0], SO_ACCEPTCONN, 1);
    return !request.name.empty() && request.name.size() <= longest_name && (packet.fds.empty() || listener);
}
bool acceptable(const ipc::Unhold& request, const ipc::Packet& packet) {
    return request.name.size() <= longest_name && packet.fds.empty();
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

}  // namespace iommud::vault
