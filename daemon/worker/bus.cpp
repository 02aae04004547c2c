#include "daemon/worker/bus.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <new>

#include "daemon/base/log.hpp"
#include "daemon/worker/names.hpp"
#include "daemon/worker/text.hpp"

namespace iommud::worker {
namespace {

template <class Value>
int append_basic(sd_bus_message* message, char type, Value value) noexcept {
    return sd_bus_message_append_basic(message, type, &value);
}

}  // namespace

void must(int result, const char* what) {
    if (result < 0) {
        throw Fatal(errno_message(what, -result));
    }
}

BusPtr serve_client(UniqueFd connection) {
    struct stat status {};
    if (::fstat(connection.get(), &status) < 0 || !S_ISSOCK(status.st_mode)) {
        throw Fatal("the client's connection is no socket");
    }
    sd_bus* raw = nullptr;
    must(sd_bus_new(&raw), "make a connection");
    BusPtr bus(raw);
    sd_id128_t id{};
    must(sd_id128_randomize(&id), "make the server's id");
    must(sd_bus_set_description(raw, "client"), "name the connection");
    must(sd_bus_set_server(raw, 1, id), "be the server");
    // Anybody may connect: who it is, the monitor knows from the kernel, and nobody believes SASL (I2).
    must(sd_bus_set_anonymous(raw, 1), "allow anonymous clients");
    // Off, sd-bus would ask for the sender's capabilities by its pid: that is the monitor's to decide.
    must(sd_bus_set_trusted(raw, 1), "leave access to the monitor");
    must(sd_bus_negotiate_fds(raw, 1), "allow descriptors");
    must(sd_bus_set_fd(raw, connection.get(), connection.get()), "take the client's connection");
    // Owned by the bus from here on.
    static_cast<void>(connection.release());
    return bus;
}

BusPtr join_system_bus() {
    sd_bus* raw = nullptr;
    int result = sd_bus_open_system(&raw);
    BusPtr bus(raw);
    if (result >= 0) {
        result = sd_bus_request_name(raw, bus_name, 0);
    }
    if (result < 0) {
        log::debug("org.iommud1 is not to be had on the system bus", {{"ERRNO", std::to_string(-result)}});
        bus.reset();
    }
    return bus;
}

bool hung_up(int result) {
    return result == -ENOTCONN || result == -ECONNRESET || result == -EPIPE;
}

void send(sd_bus* bus, sd_bus_message* message) {
    const int result = sd_bus_send(bus, message, nullptr);
    if (!hung_up(result)) {
        must(result, "send a message");
    }
}

int append(sd_bus_message* message, const char* text) noexcept {
    return sd_bus_message_append_basic(message, SD_BUS_TYPE_STRING, text);
}
int append(sd_bus_message* message, const std::string& text) noexcept {
    try {
        std::string copy;
        return append(message, valid_text(text, copy));
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
}
int append(sd_bus_message* message, bool value) noexcept {
    return append_basic(message, SD_BUS_TYPE_BOOLEAN, value ? 1 : 0);
}
int append(sd_bus_message* message, std::uint16_t value) noexcept {
    return append_basic(message, SD_BUS_TYPE_UINT16, value);
}
int append(sd_bus_message* message, std::uint32_t value) noexcept {
    return append_basic(message, SD_BUS_TYPE_UINT32, value);
}
int append(sd_bus_message* message, std::int32_t value) noexcept {
    return append_basic(message, SD_BUS_TYPE_INT32, value);
}
int append(sd_bus_message* message, std::uint64_t value) noexcept {
    return append_basic(message, SD_BUS_TYPE_UINT64, value);
}
int append(sd_bus_message* message, const std::vector<std::string>& texts) noexcept {
    int result = sd_bus_message_open_container(message, SD_BUS_TYPE_ARRAY, "s");
    for (auto text = texts.begin(); result >= 0 && text != texts.end(); ++text) {
        result = append(message, *text);
    }
    return result < 0 ? result : sd_bus_message_close_container(message);
}

}  // namespace iommud::worker
