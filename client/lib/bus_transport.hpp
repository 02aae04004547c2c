// The bus transport: a peer-to-peer D-Bus connection to the daemon, without a bus daemon in between.
#pragma once

#include <systemd/sd-bus.h>

#include <chrono>
#include <memory>
#include <string>

#include "client/lib/failure.hpp"

namespace iommud::lib {

inline constexpr const char* manager_path = "/org/iommud1";
inline constexpr const char* manager_interface = "org.iommud1.Manager";

// sd-bus's own default for calls; acquiring waits for devices' resets, which may take a minute.
inline constexpr std::chrono::seconds call_timeout{25};
inline constexpr std::chrono::seconds acquire_timeout{120};

struct UnrefBus {
    void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
struct UnrefMessage {
    void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, UnrefMessage>;

// See iommud_default_address.
[[nodiscard]] std::string default_address();

// The D-Bus address behind what people write: "unix:path=...", "unix:abstract=...", or an absolute path. Nothing else,
// so that no address of sd-bus's starts a program.
[[nodiscard]] Outcome<std::string> normal_address(std::string_view text);

class Bus {
  public:
    // `address` in any form that normal_address takes. Fails with IOMMUD_ERROR_NO_DAEMON where nobody listens.
    // Waits, for 5 seconds at most, while so many connect at once that the kernel says EAGAIN.
    [[nodiscard]] static Outcome<Bus> connect(std::string_view address);

    [[nodiscard]] const std::string& address() const { return address_; }
    [[nodiscard]] Outcome<Message> new_call(const char* path, const char* interface, const char* member) const;

    // Sends `message` and waits for the answer.
    [[nodiscard]] Outcome<Message> call(const Message& message, std::chrono::seconds timeout = call_timeout) const;

  private:
    [[nodiscard]] static Outcome<Bus> try_to_connect(const std::string& address);
    Bus(sd_bus* bus, std::string address) : bus_(bus), address_(std::move(address)) {}

    std::unique_ptr<sd_bus, UnrefBus> bus_;
    std::string address_;
};

// A failure to build or to read a message: `result` is sd-bus's negative errno.
[[nodiscard]] tl::unexpected<Failure> message_failed(std::string_view what, int result);

}  // namespace iommud::lib
