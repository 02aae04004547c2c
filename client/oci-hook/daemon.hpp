// The daemon, as the hook speaks with it: on the administrators' socket.
#pragma once

#include <string>

#include "client/lib/bus_transport.hpp"
#include "client/oci-hook/container.hpp"

namespace iommud::hook {

struct Registration {
    std::string id;
    std::uint32_t pid = 0;
    std::uint32_t owner = 0;
    Wish wish;
    std::map<std::string, std::string> annotations;
};

// The folder to mount.
[[nodiscard]] lib::Outcome<std::string> open_endpoint(const lib::Bus& bus, const Registration& container);
// Which endpoint of that id: the one that was opened over this very connection, or that of a container that has ended.
enum class Which { own, ended };
[[nodiscard]] lib::Outcome<void> close_endpoint(const lib::Bus& bus, const std::string& id, Which which);

}  // namespace iommud::hook
