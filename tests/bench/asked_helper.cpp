#include "tests/bench/asked_helper.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <stdexcept>

#include "tests/bench/bare_device.hpp"
#include "tests/bench/bare_helper.hpp"
#include "tests/bench/must.hpp"
#include "tests/bench/packets.hpp"
#include "tests/bench/table.hpp"

namespace iommud::bench {
namespace {

struct Request {
    std::uint64_t length = 0;
    std::uint64_t iova = 0;  // to be unmapped; 0: map
};

std::uint64_t carry_out(const Attached& own, const Request& request, int fd, void*& at) {
    if (request.iova != 0) {
        unmap(own.fds.iommu, own.ioas, request.iova, request.length);
        if (at != nullptr) {
            ::munmap(at, request.length);
        }
        return 0;
    }
    check_memory(fd);
    at = ::mmap(nullptr, request.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(at != MAP_FAILED, "mmap");
    return map_address(own.fds.iommu, own.ioas, at, request.length);
}

void serve(const std::string& address, int channel, int other) {
    const Attached own = attach_as_user(address);
    must(::send(channel, "", 1, MSG_NOSIGNAL) == 1, "say that the device is attached");
    Request request;
    int fd = -1;
    void* at = nullptr;
    for (;;) {
        std::array<pollfd, 2> waiting{{{channel, POLLIN, 0}, {other, POLLIN, 0}}};
        must(::poll(waiting.data(), waiting.size(), -1) > 0, "poll");
        if (!receive_packet(channel, &request, sizeof request, &fd)) {
            return;
        }
        const std::uint64_t iova = carry_out(own, request, fd, at);
        if (fd >= 0) {
            ::close(fd);
        }
        send_packet(channel, &iova, sizeof iova);
    }
}

class Asking {
  public:
    Asking(std::string address, const Memories& memories) : address_(std::move(address)), memories_(memories) {}
    Asking(const Asking&) = delete;
    Asking& operator=(const Asking&) = delete;
    ~Asking() {
        if (server_ > 0) {
            ::close(channel_);
            ::waitpid(server_, nullptr, 0);
        }
    }

    Seconds operator()(const Order& order) {
        if (order.op == Op::hold) {
            start();
            return {};
        }
        if (order.op == Op::churn) {
            return churn([this, &order] { map(order.length); });
        }
        throw std::runtime_error("not an order for who asks");
    }

  private:
    void start() {
        std::array<int, 2> ends{};
        std::array<int, 2> other{};
        must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0, "socketpair");
        must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, other.data()) == 0, "socketpair");
        server_ = ::fork();
        must(server_ >= 0, "fork");
        if (server_ == 0) {
            ::close(ends[0]);
            serve(address_, ends[1], other[0]);
            ::_exit(0);
        }
        ::close(ends[1]);
        channel_ = ends[0];
        char byte = 0;
        must(::recv(channel_, &byte, 1, 0) == 1, "the process that is asked has failed");
    }

    void map(std::uint64_t length) const {
        const std::uint64_t iova = ask({length, 0}, memories_.at(length).fd());
        ask({length, iova}, -1);
    }

    std::uint64_t ask(const Request& request, int fd) const {
        send_packet(channel_, &request, sizeof request, fd);
        std::uint64_t iova = 0;
        must(::recv(channel_, &iova, sizeof iova, 0) == sizeof iova, "be answered");
        return iova;
    }

    std::string address_;
    const Memories& memories_;
    pid_t server_ = -1;
    int channel_ = -1;
};

}  // namespace

Worker asking_for_ioctls(std::string address, const Memories& memories) {
    auto state = std::make_shared<Asking>(std::move(address), memories);
    return [state](const Order& order) { return (*state)(order); };
}

}  // namespace iommud::bench
