// What a container runtime gives the hook: a state, a NUL, config.json, an argument's bit. Whatever is taken keeps
// within the daemon's bounds.
#include <cstdlib>

#include "client/oci-hook/container.hpp"
#include "daemon/base/endpoint_bounds.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace iommud;
    if (size == 0) {
        return 0;
    }
    const bool cdi = (data[0] & 1) != 0;
    const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
    static_cast<void>(hook::root_on_host(text));
    const std::size_t end = std::min(text.find('\0'), text.size());
    const auto state = hook::parse_state(text.substr(0, end));
    const auto config = hook::parse_config(text.substr(std::min(end + 1, text.size())));
    if (!state || !config) {
        return 0;
    }
    std::size_t bytes = 0;
    for (const auto& [key, value] : hook::annotations_to_tell(*state, *config)) {
        bytes += annotation_bytes(key, value);
        if (!valid_annotation(key, value)) {
            std::abort();
        }
    }
    const auto wish = hook::read_wish(*state, *config, cdi);
    if (!valid_endpoint_id(state->id) || bytes > most_annotation_bytes ||
        (wish && *wish && (*wish)->devices.size() > 32)) {
        std::abort();
    }
    return 0;
}
