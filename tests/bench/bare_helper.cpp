#include "tests/bench/bare_helper.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>

#include "tests/bench/bare_device.hpp"
#include "tests/bench/must.hpp"
#include "tests/bench/table.hpp"

namespace iommud::bench {
namespace {

constexpr uid_t unused_uid = 0x70fffff0;
constexpr std::uint64_t most_locked = std::uint64_t{1} << 34;

void enter_cgroup(const std::string& cgroup) {
    const int procs = ::open((cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
    must(procs >= 0 && ::write(procs, "0", 1) == 1, "enter the cgroup");
    ::close(procs);
}

[[noreturn]] void run_child(const std::string& address, const std::string& cgroup, const std::string& program,
                            int done) {
    BareFds fds = open_bare(address);
    enter_cgroup(cgroup);
    become_user(unused_uid, most_locked);
    fds = {::dup(fds.iommu), ::dup(fds.device)};  // these are inherited
    ::close_range(static_cast<unsigned>(fds.device) + 2, ~0U, 0);
    const std::string numbers[] = {std::to_string(fds.iommu), std::to_string(fds.device), std::to_string(::dup(done))};
    ::execl(program.c_str(), program.c_str(), numbers[0].c_str(), numbers[1].c_str(), numbers[2].c_str(), nullptr);
    must(false, program.c_str());
    ::_exit(1);
}

// The lease before may still be on its way out.
std::uint32_t bind_when_free(const BareFds& fds) {
    for (int attempt = 0;; ++attempt) {
        try {
            return bind_and_attach(fds);
        } catch (const std::exception&) {
            if (attempt == 400) {
                throw;
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(25));
    }
}

class BareIoctls {
  public:
    BareIoctls(std::string address, const Memories& memories) : address_(std::move(address)), memories_(memories) {}

    Seconds operator()(const Order& order) {
        switch (order.op) {
            case Op::acquire:
                return acquire();
            case Op::hold:
                own_ = attach_as_user(address_);
                return {};
            case Op::map:
                return map(memories_.at(order.length));
            case Op::map_twice:
            case Op::map_twice_2m:
                return map_twice(order, [this](const client::Memory& memory) { return map(memory); });
            case Op::churn:
                return churn([this, &order] { map(memories_.at(order.length)); });
            case Op::checked_churn:
                return churn([this, &order] {
                    check_memory(memories_.at(order.length).fd());
                    map(memories_.at(order.length));
                });
            case Op::give_back:
            case Op::round_trip:
            case Op::floor_trip:
                break;
        }
        throw std::runtime_error("not an order for the bare ioctls");
    }

  private:
    Seconds acquire() const {
        const auto start = Clock::now();
        const BareFds fds = open_bare(address_);
        bind_and_attach(fds);
        const auto attached = Clock::now();
        close_bare(fds);
        return {seconds_since(start), seconds_since(attached)};
    }

    // Memory that is mapped in this process and was touched here, as a program has it that maps for itself.
    Seconds map(const client::Memory& memory) const {
        const auto start = Clock::now();
        const std::uint64_t iova = map_address(own_.fds.iommu, own_.ioas, memory.bytes().data(), memory.length());
        const double mapped = seconds_since(start);
        return {mapped, unmap_and_time(iova, memory.length())};
    }

    double unmap_and_time(std::uint64_t iova, std::uint64_t length) const {
        const auto start = Clock::now();
        unmap(own_.fds.iommu, own_.ioas, iova, length);
        return seconds_since(start);
    }

    std::string address_;
    Attached own_;
    const Memories& memories_;
};

}  // namespace

Attached attach_as_user(const std::string& address) {
    Attached own;
    own.fds = open_bare(address);
    become_user(unused_uid, most_locked);  // root would be charged for nothing
    own.ioas = bind_when_free(own.fds);
    return own;
}

Worker bare_process(std::string address, std::string cgroup, std::string program) {
    return [address = std::move(address), cgroup = std::move(cgroup), program = std::move(program)](const Order&) {
        std::array<int, 2> done{};
        must(::pipe2(done.data(), O_CLOEXEC) == 0, "pipe");
        const auto start = Clock::now();
        const pid_t child = ::fork();
        must(child >= 0, "fork");
        if (child == 0) {
            run_child(address, cgroup, program, done[1]);
        }
        ::close(done[1]);
        char byte = 0;
        must(::read(done[0], &byte, 1) == 1, "the anchor's program has failed");
        const double closed = seconds_since(start);
        ::waitpid(child, nullptr, 0);
        ::close(done[0]);
        return Seconds{closed, seconds_since(start)};
    };
}

Worker bare_ioctls(std::string address, const Memories& memories) {
    auto state = std::make_shared<BareIoctls>(std::move(address), memories);
    return [state](const Order& order) { return (*state)(order); };
}

}  // namespace iommud::bench
