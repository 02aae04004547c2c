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

#include "tests/bench/table.hpp"

namespace iommud::bench {

enum class Op : std::uint32_t {
    acquire,        // acquire and release
    give_back,      // acquire; then close until the device is available
    hold,           // a lease, or a context with a device, for what follows
    map,            // and unmap `length` bytes
    round_trip,     // one packet with a descriptor, and the answer
    floor_trip,     // likewise, by a process that must listen elsewhere too, and checks the memory of `length` bytes
    churn,          // map and unmap `length` bytes again and again, for churn_time
    checked_churn,  // likewise, and check the memory before each map
    map_twice,      // `length` bytes of new, touched memory, twice: {the first map, the second}
    map_twice_2m,   // likewise, of pages of 2 MiB
};

struct Order {
    Op op = Op::acquire;
    std::uint32_t padding = 0;
    std::uint64_t length = 0;
};

inline constexpr double churn_time = 5;  // seconds

using Seconds = std::array<double, 2>;  // what they are is said where Op is carried out
using Worker = std::function<Seconds(const Order&)>;

class Helper {
  public:
    // `become` runs in the new process, and gives what carries out the orders.
    explicit Helper(const std::function<Worker()>& become);
    Helper(const Helper&) = delete;
    Helper& operator=(const Helper&) = delete;
    ~Helper();

    Seconds operator()(Op op, std::uint64_t length = 0) {
        begin(op, length);
        return end();
    }
    // The same in two halves, for many helpers at once.
    void begin(Op op, std::uint64_t length = 0);
    Seconds end();

  private:
    int channel_ = -1;
    pid_t process_ = -1;
};

// Made before the processes that map them start: both sides map the same pages, laid out in the same way.
using Memories = std::map<std::uint64_t, client::Memory>;
[[nodiscard]] Memories make_memories(const std::vector<std::uint64_t>& lengths);

// What a keeper must ask of a memory before it maps it for somebody else: seals, mode, file system, the first hole.
void check_memory(int fd);

// Op::map_twice and Op::map_twice_2m by `map`, which maps a client::Memory and unmaps it: {map, unmap}.
template <class Map>
[[nodiscard]] Seconds map_twice(const Order& order, Map map) {
    const client::Memory memory(order.length,
                                order.op == Op::map_twice ? client::Pages::normal : client::Pages::huge_2m);
    for (std::size_t at = 0; at < order.length; at += 4096) {
        memory.bytes()[at] = std::byte{1};
    }
    const double first = map(memory)[0];
    return {first, map(memory)[0]};
}

// Op::churn by `map`, which maps and unmaps once: {how often, how many seconds}.
template <class Map>
[[nodiscard]] Seconds churn(Map map) {
    double times = 0;
    const auto start = Clock::now();
    do {
        map();
        ++times;
    } while (seconds_since(start) < churn_time);
    return {times, seconds_since(start)};
}

// For good, with all groups; the capabilities go with it. Pinned memory is limited to `locked` bytes.
void become_user(uid_t uid, std::uint64_t locked);

}  // namespace iommud::bench
