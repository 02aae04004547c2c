#include "daemon/keeper/lease_frames.hpp"

#include <cstring>

namespace iommud::keeper {

std::optional<iommud_request> parse_request(std::span<const std::byte> packet) {
    iommud_request request;
    if (packet.size() != sizeof request) {
        return std::nullopt;
    }
    std::memcpy(&request, packet.data(), sizeof request);
    if (request.op < IOMMUD_MAP || request.op > IOMMUD_RELEASE) {
        return std::nullopt;
    }
    return request;
}

bool well_formed(const iommud_request& request, bool with_descriptor) {
    constexpr std::uint32_t map_flags = IOMMUD_MAP_READ | IOMMUD_MAP_WRITE | IOMMUD_MAP_FIXED;
    const bool no_range = request.offset == 0 && request.length == 0 && request.iova == 0;
    switch (request.op) {
        case IOMMUD_MAP:
            return (request.flags & ~map_flags) == 0 && (request.flags & (IOMMUD_MAP_READ | IOMMUD_MAP_WRITE)) != 0 &&
                   ((request.flags & IOMMUD_MAP_FIXED) != 0 || request.iova == 0);
        case IOMMUD_UNMAP:
            return !with_descriptor && (request.flags == 0 || (request.flags == IOMMUD_UNMAP_ALL && no_range)) &&
                   request.offset == 0;
        default:
            return !with_descriptor && request.flags == 0 && no_range;
    }
}

iommud_reply make_reply(const iommud_request& request, iommud_error error, std::uint64_t value) {
    return {IOMMUD_REPLY, static_cast<std::uint32_t>(error), request.cookie, value};
}

iommud_reply make_event(iommud_packet_kind kind, std::uint64_t value) {
    return {static_cast<std::uint32_t>(kind), 0, 0, value};
}

}  // namespace iommud::keeper
