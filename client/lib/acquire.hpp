// Manager.Acquire: a request, and the descriptors that a lease is made of.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "client/lib/bus_transport.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::lib {

struct AcquireOptions {
    std::string mode;          // empty: the daemon's default
    std::string label;         // empty: none
    std::uint64_t memory = 0;  // bytes; 0: the daemon's default
};

struct NamedFd {
    std::string name;  // "lease", "device:0000:00:04.0", ...
    UniqueFd fd;       // CLOEXEC
};

struct Granted {
    std::string path;  // of the lease's object
    std::vector<NamedFd> fds;
    bool simulated = false;
    std::uint64_t memory = 0;  // bytes reserved; 0: not said

    [[nodiscard]] BorrowedFd find(std::string_view name) const;
};

// Blocks until the daemon answered: see acquire_timeout. A grant always has a descriptor named "lease".
[[nodiscard]] Outcome<Granted> acquire(const Bus& bus, const std::vector<std::string>& devices,
                                       const AcquireOptions& options);

}  // namespace iommud::lib
