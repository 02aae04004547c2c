// The anchors in the virtual machine.
#pragma once

#include <string>

#include "tests/bench/bare_device.hpp"
#include "tests/bench/helper.hpp"

namespace iommud::bench {

// Op::acquire, as root: {fork, enter `cgroup`, open, drop the uid, exec `program`, BIND, IOAS_ALLOC, ATTACH, close;
// until the process is reaped}.
[[nodiscard]] Worker bare_process(std::string address, std::string cgroup, std::string program);

struct Attached {
    BareFds fds;
    std::uint32_t ioas = 0;
};

// Opens the nodes, becomes a user of its own, and attaches the device, once the lease before is out of it.
[[nodiscard]] Attached attach_as_user(const std::string& address);

// As a user of its own, with descriptors that root opened. Op::acquire: {the bare ioctls, with open and close (as root,
// before Op::hold); its close alone}. Op::map: {map, unmap}. Op::hold keeps a device attached. `memories` outlives it.
[[nodiscard]] Worker bare_ioctls(std::string address, const Memories& memories);

}  // namespace iommud::bench
