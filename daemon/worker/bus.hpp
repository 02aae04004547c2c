// sd-bus objects with owners, and the two kinds of connection.
#pragma once

#include <systemd/sd-bus.h>

#include <memory>
#include <string>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::worker {

struct BusDeleter {
    // Not flushed: that would wait for a client that does not read.
    void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
using BusPtr = std::unique_ptr<sd_bus, BusDeleter>;

struct MessageDeleter {
    void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using MessagePtr = std::unique_ptr<sd_bus_message, MessageDeleter>;

// The server's side of a connected stream socket, not started: sd_bus_start(3) reads and parses the first bytes, which
// the caller must not let happen before the process is confined. Throws Fatal.
[[nodiscard]] BusPtr serve_client(UniqueFd connection);
// The system bus, with our name on it; null when there is no bus, or the name is somebody else's. Waits for the bus.
// Throws Fatal.
[[nodiscard]] BusPtr join_system_bus();

// For calls that fail only without memory or by our own mistake. Throws Fatal.
void must(int result, const char* what);

// Queues `message`. A client that is gone is found out by whoever reads from it. Throws Fatal for other failures.
void send(sd_bus* bus, sd_bus_message* message);
// True when a result of sd-bus says no more than that the client is gone.
[[nodiscard]] bool hung_up(int result);

// Appends to a message that is being written: negative errno on failure, never an exception.
int append(sd_bus_message* message, const char* text) noexcept;
int append(sd_bus_message* message, const std::string& text) noexcept;
int append(sd_bus_message* message, bool value) noexcept;
int append(sd_bus_message* message, std::uint16_t value) noexcept;
int append(sd_bus_message* message, std::uint32_t value) noexcept;
int append(sd_bus_message* message, std::int32_t value) noexcept;
int append(sd_bus_message* message, std::uint64_t value) noexcept;
int append(sd_bus_message* message, const std::vector<std::string>& texts) noexcept;

// An entry of an a{sv}: `key`, and `value` as a variant of type `signature`. Throws Fatal.
template <class Value>
void append_entry(sd_bus_message* message, const char* key, const char* signature, const Value& value) {
    must(sd_bus_message_open_container(message, 'e', "sv"), "open an entry");
    must(append(message, key), "append a key");
    must(sd_bus_message_open_container(message, 'v', signature), "open a variant");
    must(append(message, value), "append a value");
    must(sd_bus_message_close_container(message), "close a variant");
    must(sd_bus_message_close_container(message), "close an entry");
}

}  // namespace iommud::worker
