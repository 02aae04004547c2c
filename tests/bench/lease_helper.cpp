#include "tests/bench/lease_helper.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iommud/iommud.hpp>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

#include "tests/bench/must.hpp"
#include "tests/bench/packets.hpp"
#include "tests/bench/table.hpp"

namespace iommud::bench {
namespace {

// A second connection, that hears what the bus says of one device.
class StateWatch {
  public:
    StateWatch(const std::string& socket, const std::string& address) {
        char* path = nullptr;
        must_bus(sd_bus_path_encode("/org/iommud1/device", address.c_str(), &path), "encode the path");
        path_ = path;
        ::free(path);
        must_bus(sd_bus_new(&bus_), "make a connection");
        must_bus(sd_bus_set_address(bus_, ("unix:path=" + socket).c_str()), "set the address");
        must_bus(sd_bus_start(bus_), "connect");
        must_bus(sd_bus_match_signal(bus_, nullptr, nullptr, path_.c_str(), "org.freedesktop.DBus.Properties",
                                     "PropertiesChanged", changed, this),
                 "listen");
        sd_bus_message* reply = nullptr;
        must_bus(sd_bus_get_property(bus_, nullptr, path_.c_str(), "org.iommud1.Device", "State", nullptr, &reply, "s"),
                 "get the state");
        const char* state = nullptr;
        must_bus(sd_bus_message_read_basic(reply, 's', &state), "read the state");
        state_ = state;
        sd_bus_message_unref(reply);
    }

    // Until nothing has come for longer than the daemon gathers changes: what is still on its way is of leases before.
    void settle() {
        constexpr std::uint64_t quiet_usec = 200'000;
        for (int result = 1; result > 0;) {
            result = sd_bus_process(bus_, nullptr);
            if (result == 0) {
                result = sd_bus_wait(bus_, quiet_usec);
            }
            must_bus(result, "process signals");
        }
    }

    void wait_for(const std::string& state) {
        while (state_ != state) {
            const int result = sd_bus_process(bus_, nullptr);
            must_bus(result, "process signals");
            if (result == 0) {
                constexpr std::uint64_t longest_usec = 60'000'000;
                const int woken = sd_bus_wait(bus_, longest_usec);
                must_bus(woken, "wait for signals");
                if (woken == 0) {
                    throw std::runtime_error("the device does not become " + state + " but stays " + state_);
                }
            }
        }
    }

  private:
    static int changed(sd_bus_message* signal, void* self, sd_bus_error*) noexcept {
        const char* name = nullptr;
        int result = sd_bus_message_skip(signal, "s");
        if (result >= 0) {
            result = sd_bus_message_enter_container(signal, 'a', "{sv}");
        }
        while (result >= 0 && (result = sd_bus_message_enter_container(signal, 'e', "sv")) > 0) {
            result = sd_bus_message_read_basic(signal, 's', &name);
            if (result >= 0 && std::strcmp(name, "State") == 0) {
                const char* state = nullptr;
                result = sd_bus_message_read(signal, "v", "s", &state);
                static_cast<StateWatch*>(self)->state_ = state == nullptr ? "" : state;
            } else if (result >= 0) {
                result = sd_bus_message_skip(signal, "v");
            }
            if (result >= 0) {
                result = sd_bus_message_exit_container(signal);
            }
        }
        return result < 0 ? result : 0;
    }

    sd_bus* bus_ = nullptr;  // for the life of the process
    std::string path_;
    std::string state_;
};

class LeaseClient {
  public:
    LeaseClient(const std::string& socket, std::string address, const Echoes& echoes, const Memories& memories,
                std::uint64_t reserve)
        : reserve_(reserve),
          address_(std::move(address)),
          echoes_(echoes),
          socket_(socket),
          memories_(memories),
          connection_("unix:path=" + socket) {}

    Seconds operator()(const Order& order) {
        switch (order.op) {
            case Op::acquire:
                return acquire();
            case Op::give_back:
                return give_back();
            case Op::hold:
                lease_.emplace(acquire_when_free().first);
                return {};
            case Op::map:
                return map(memories_.at(order.length));
            case Op::map_twice:
            case Op::map_twice_2m:
                return map_twice(order, [this](const client::Memory& memory) { return map(memory); });
            case Op::round_trip:
                return {round_trip(echoes_.plain, 4096), 0};
            case Op::floor_trip:
                return {round_trip(echoes_.floor, order.length), 0};
            case Op::churn:
                return churn([this, &order] { map(memories_.at(order.length)); });
            case Op::checked_churn:
                break;
        }
        throw std::runtime_error("not an order for the lease's client");
    }

  private:
    // The lease, and the time of the call that gave it: the one before may still be on its way out.
    std::pair<client::Lease, double> acquire_when_free() {
        for (int attempt = 0;; ++attempt) {
            const auto start = Clock::now();
            try {
                client::Lease lease = connection_.acquire({address_}, {.memory = reserve_, .label = "bench"});
                return {std::move(lease), seconds_since(start)};
            } catch (const client::Error& error) {
                const bool on_its_way =
                    error.code() == IOMMUD_ERROR_DEVICE_BUSY || error.code() == IOMMUD_ERROR_DRAINING;
                if (!on_its_way || attempt == 400) {
                    throw;
                }
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(25));
        }
    }

    Seconds acquire() {
        auto [lease, acquired] = acquire_when_free();
        std::optional<client::Lease> owned(std::move(lease));
        const auto start = Clock::now();
        owned->release();
        owned.reset();
        return {acquired + seconds_since(start), acquired};
    }

    Seconds give_back() {
        if (!watch_) {
            watch_.emplace(socket_, address_);
        }
        auto [lease, acquired] = acquire_when_free();
        std::optional<client::Lease> owned(std::move(lease));
        watch_->settle();
        watch_->wait_for("leased");
        const auto start = Clock::now();
        owned.reset();
        watch_->wait_for("available");
        return {acquired, seconds_since(start)};
    }

    Seconds map(const client::Memory& memory) {
        const auto start = Clock::now();
        const std::uint64_t iova = lease_->map(memory, client::Access::read_write);
        const double mapped = seconds_since(start);
        const auto unmapping = Clock::now();
        lease_->unmap(iova);
        return {mapped, seconds_since(unmapping)};
    }

    double round_trip(int echo, std::uint64_t length) const {
        iommud_request request{};
        request.length = length;
        iommud_reply reply{};
        const auto start = Clock::now();
        send_packet(echo, &request, sizeof request, memories_.at(length).fd());
        must(::recv(echo, &reply, sizeof reply, 0) == sizeof reply, "receive from the echo");
        return seconds_since(start);
    }

    std::uint64_t reserve_;
    std::string address_;
    Echoes echoes_;
    std::string socket_;
    const Memories& memories_;
    client::Connection connection_;
    std::optional<StateWatch> watch_;
    std::optional<client::Lease> lease_;
};

void run_echo(int channel, int other) {
    iommud_request request{};
    int fd = -1;
    for (;;) {
        if (other >= 0) {
            std::array<pollfd, 2> waiting{{{channel, POLLIN, 0}, {other, POLLIN, 0}}};
            must(::poll(waiting.data(), waiting.size(), -1) > 0, "poll");
        }
        if (!receive_packet(channel, &request, sizeof request, &fd)) {
            return;
        }
        if (other >= 0) {
            check_memory(fd);
        }
        ::close(fd);
        const iommud_reply reply{};
        send_packet(channel, &reply, sizeof reply);
    }
}

int start_echo(bool floor) {
    std::array<int, 2> ends{};
    std::array<int, 2> other{};
    must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0, "socketpair");
    must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, other.data()) == 0, "socketpair");
    const pid_t child = ::fork();
    must(child >= 0, "fork");
    if (child == 0) {
        ::close(ends[0]);
        run_echo(ends[1], floor ? other[0] : -1);
        ::_exit(0);
    }
    ::close(ends[1]);
    return ends[0];
}

}  // namespace

Worker lease_client(const std::string& socket, std::string address, const Echoes& echoes, const Memories& memories,
                    std::uint64_t reserve) {
    auto state = std::make_shared<LeaseClient>(socket, std::move(address), echoes, memories, reserve);
    return [state](const Order& order) { return (*state)(order); };
}

Echoes start_echoes() {
    return {start_echo(false), start_echo(true)};
}

}  // namespace iommud::bench
