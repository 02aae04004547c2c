#include "tests/bench/helper.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <exception>
#include <stdexcept>

#include "tests/bench/must.hpp"

namespace iommud::bench {
namespace {

void carry_out_orders(int channel, const Worker& worker) {
    Order order;
    while (::recv(channel, &order, sizeof order, 0) == sizeof order) {
        const Seconds seconds = worker(order);
        must(::send(channel, &seconds, sizeof seconds, MSG_NOSIGNAL) == sizeof seconds, "answer");
    }
}

}  // namespace

Helper::Helper(const std::function<Worker()>& become) {
    std::array<int, 2> ends{};
    must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0, "socketpair");
    process_ = ::fork();
    must(process_ >= 0, "fork");
    if (process_ == 0) {
        ::close(ends[0]);
        try {
            carry_out_orders(ends[1], become());
        } catch (const std::exception& error) {
            std::fprintf(stderr, "bench: helper: %s\n", error.what());
            ::_exit(1);
        }
        ::_exit(0);
    }
    ::close(ends[1]);
    channel_ = ends[0];
}

Helper::~Helper() {
    ::close(channel_);
    ::waitpid(process_, nullptr, 0);
}

void Helper::begin(Op op, std::uint64_t length) {
    const Order order{op, 0, length};
    must(::send(channel_, &order, sizeof order, MSG_NOSIGNAL) == sizeof order, "give an order");
}

Seconds Helper::end() {
    Seconds seconds{};
    if (::recv(channel_, &seconds, sizeof seconds, 0) != sizeof seconds) {
        throw std::runtime_error("a helper process has ended");
    }
    return seconds;
}

Memories make_memories(const std::vector<std::uint64_t>& lengths) {
    Memories memories;
    for (const std::uint64_t length : lengths) {
        memories.emplace(length, client::Memory(length));
    }
    return memories;
}

void check_memory(int fd) {
    struct statfs file_system {};
    must(::fcntl(fd, F_GET_SEALS) >= 0 && ::fstatfs(fd, &file_system) == 0, "ask the memfd");
}

void become_user(uid_t uid, std::uint64_t locked) {
    const rlimit limit{locked, locked};
    must(::setrlimit(RLIMIT_MEMLOCK, &limit) == 0, "set RLIMIT_MEMLOCK");
    must(::setgroups(0, nullptr) == 0, "setgroups");
    must(::setresgid(uid, uid, uid) == 0, "setresgid");
    must(::setresuid(uid, uid, uid) == 0, "setresuid");
}

}  // namespace iommud::bench
