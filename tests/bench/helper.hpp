// A process of its own, with the identity it needs, that does what it is told one thing at a time and says how long it
// took: so that what is compared runs in turn, and each under its own user.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <iommud/iommud.hpp>
#include <map>
#include <vector>

namespace iommud::bench {

enum class Op : std::uint32_t {
    acquire,     // acquire and release
    give_back,   // acquire; then close until the device is available
    hold,        // a lease, or a context with a device, for what follows
    map,         // and unmap `length` bytes
    remap,       // likewise, of memory that stays mapped in the process, where the kernel maps by address
    round_trip,  // one packet with a descriptor, and the answer
    floor_trip,  // likewise, by a process that must listen elsewhere too, and checks the memory of `length` bytes
};

struct Order {
    Op op = Op::acquire;
    std::uint32_t padding = 0;
    std::uint64_t length = 0;
};

using Seconds = std::array<double, 2>;  // what they are is said where Op is carried out
using Worker = std::function<Seconds(const Order&)>;

class Helper {
  public:
    // `become` runs in the new process, and gives what carries out the orders.
    explicit Helper(const std::function<Worker()>& become);
    Helper(const Helper&) = delete;
    Helper& operator=(const Helper&) = delete;
    ~Helper();

    Seconds operator()(Op op, std::uint64_t length = 0);

  private:
    int channel_ = -1;
    pid_t process_ = -1;
};

// Made before the processes that map them start: both sides map the same pages, laid out in the same way.
using Memories = std::map<std::uint64_t, client::Memory>;
[[nodiscard]] Memories make_memories(const std::vector<std::uint64_t>& lengths);

// For good, with all groups; the capabilities go with it. Pinned memory is limited to `locked` bytes.
void become_user(uid_t uid, std::uint64_t locked);

}  // namespace iommud::bench
