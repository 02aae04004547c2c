// Packets on a lease channel.
#include <cstdlib>
#include <cstring>
#include <span>

#include "daemon/keeper/lease_frames.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto request = iommud::keeper::parse_request(std::as_bytes(std::span(data, size)));
    if (request && (size != sizeof(iommud_request) || request->op < IOMMUD_MAP || request->op > IOMMUD_RELEASE)) {
        std::abort();
    }
    if (request) {
        static_cast<void>(iommud::keeper::well_formed(*request, true));
        static_cast<void>(iommud::keeper::well_formed(*request, false));
    }
    return 0;
}
