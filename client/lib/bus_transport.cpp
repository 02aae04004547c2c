#include "client/lib/bus_transport.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "daemon/base/error.hpp"

namespace iommud::lib {
namespace {

constexpr const char* client_socket = "/run/iommud/bus";
constexpr const char* admin_socket = "/run/iommud/admin/bus";

// D-Bus specification, "Server Addresses": every other byte is written as %XX.
std::string escape_address_value(std::string_view value) {
    std::string escaped;
    for (const char c : value) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                           (c != '\0' && std::strchr("-_/.\\*", c) != nullptr);
        escaped += plain ? std::string(1, c) : fmt::format("%{:02x}", static_cast<unsigned char>(c));
    }
    return escaped;
}

bool connection_lost(int result) {
    switch (-result) {
        case ECONNRESET:
        case ECONNREFUSED:
        case ENOTCONN:
        case EPIPE:
        case ESHUTDOWN:
            return true;
        default:
            return false;
    }
}

tl::unexpected<Failure> no_daemon(const std::string& address, int result) {
    auto failure =
        failed(IOMMUD_ERROR_NO_DAEMON, errno_message(fmt::format("no answer from iommud at {}", address), -result));
    failure.value().error_number = -result;
    return failure;
}

struct BusError {
    sd_bus_error error = SD_BUS_ERROR_NULL;
    BusError() = default;
    BusError(const BusError&) = delete;
    BusError& operator=(const BusError&) = delete;
    ~BusError() { sd_bus_error_free(&error); }
};

tl::unexpected<Failure> call_failed(const std::string& address, int result, const sd_bus_error& error) {
    const std::string name = error.name != nullptr ? error.name : "";
    const std::string message = error.message != nullptr ? error.message : "";
    if (connection_lost(result) && !name.starts_with("org.iommud1.")) {
        return no_daemon(address, result);
    }
    return tl::unexpected<Failure>(
        Failure{.code = code_of_name(name), .message = message.empty() ? name : message, .name = name});
}

}  // namespace

std::string default_address() {
    if (const char* address = ::secure_getenv("IOMMUD_ADDRESS"); address != nullptr && *address != '\0') {
        return address;
    }
    // Root of a container has only the container's endpoint.
    const bool admin = ::geteuid() == 0 && ::access(admin_socket, F_OK) == 0;
    return fmt::format("unix:path={}", admin ? admin_socket : client_socket);
}

Outcome<std::string> normal_address(std::string_view text) {
    if (text.starts_with('/')) {
        return "unix:path=" + escape_address_value(text);
    }
    const bool known = text.starts_with("unix:path=/") || text.starts_with("unix:abstract=");
    if (!known || text.find(';') != std::string_view::npos) {
        return failed(IOMMUD_ERROR_INVALID_ARGUMENT,
                      fmt::format("\"{}\" is no address of iommud: unix:path=/PATH or an absolute path", text));
    }
    return std::string(text);
}

Outcome<Bus> Bus::try_to_connect(const std::string& address) {
    sd_bus* bus = nullptr;
    int result = sd_bus_new(&bus);
    if (result < 0) {
        return system_failed("create a D-Bus connection", -result);
    }
    Bus owner(bus, address);
    if ((result = sd_bus_set_address(bus, owner.address_.c_str())) < 0 ||
        (result = sd_bus_set_bus_client(bus, 0)) < 0 ||  // no bus daemon: nobody to say Hello to
        (result = sd_bus_set_anonymous(bus, 1)) < 0 ||   // who we are the kernel says, not SASL
        (result = sd_bus_negotiate_fds(bus, 1)) < 0) {
        return message_failed("set a D-Bus connection up", result);
    }
    if ((result = sd_bus_start(bus)) < 0) {
        return no_daemon(owner.address_, result);
    }
    return owner;
}

// sd-bus connects without waiting: while others have filled the socket's queue, which the daemon empties fast, the
// kernel says EAGAIN (unix_stream_connect).
Outcome<Bus> Bus::connect(std::string_view text) {
    using namespace std::chrono_literals;
    constexpr auto longest = 5s;
    constexpr auto longest_pause = 200ms;
    auto address = normal_address(text);
    if (!address) {
        return tl::unexpected(std::move(address.error()));
    }
    const auto deadline = std::chrono::steady_clock::now() + longest;
    for (auto pause = 5ms;; pause = std::min(2 * pause, longest_pause)) {
        auto bus = try_to_connect(*address);
        if (bus || bus.error().error_number != EAGAIN || std::chrono::steady_clock::now() + pause > deadline) {
            return bus;
        }
        std::this_thread::sleep_for(pause);
    }
}

Outcome<Message> Bus::new_call(const char* path, const char* interface, const char* member) const {
    sd_bus_message* message = nullptr;
    const int result = sd_bus_message_new_method_call(bus_.get(), &message, nullptr, path, interface, member);
    if (result < 0) {
        return message_failed(member, result);
    }
    return Message(message);
}

Outcome<Message> Bus::call(const Message& message, std::chrono::seconds timeout) const {
    BusError error;
    sd_bus_message* reply = nullptr;
    const auto usec = static_cast<std::uint64_t>(std::chrono::microseconds(timeout).count());
    const int result = sd_bus_call(bus_.get(), message.get(), usec, &error.error, &reply);
    if (result < 0) {
        return call_failed(address_, result, error.error);
    }
    return Message(reply);
}

tl::unexpected<Failure> message_failed(std::string_view what, int result) {
    switch (-result) {
        case ENOTCONN:
        case ECONNRESET:
            return failed(IOMMUD_ERROR_NO_DAEMON, fmt::format("{}: the daemon closed the connection", what));
        case EBADMSG:
        case ENXIO:
            return failed(IOMMUD_ERROR_PROTOCOL, fmt::format("{}: the daemon's answer has another form", what));
        case EINVAL:
            return failed(IOMMUD_ERROR_INVALID_ARGUMENT, fmt::format("{}: not a valid D-Bus value", what));
        default:
            return system_failed(what, -result);
    }
}

}  // namespace iommud::lib
