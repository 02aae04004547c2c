// A D-Bus client in the same thread as the fake monitor: a call is started, the monitor answers, the reply is awaited.
#pragma once

#include <systemd/sd-bus.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/unique_fd.hpp"
#include "daemon/worker/bus.hpp"

namespace iommud::worker::test {

inline constexpr auto patience = std::chrono::seconds(10);

struct Reply {
    MessagePtr message;                       // null: none came in time
    [[nodiscard]] std::string error() const;  // the error's name; empty: a good reply, "none": none came
    [[nodiscard]] std::string error_text() const;
};

class Client {
  public:
    // Any kind of client: `connection` is one end of a connected stream socket.
    explicit Client(UniqueFd connection);
    // A client of the service org.iommud1 on the bus at `address`.
    explicit Client(const std::string& address);

    // A call that is sent when `write` has put its arguments there; the number is for reply().
    std::size_t start(const char* path, const char* interface, const char* member,
                      const std::function<void(sd_bus_message*)>& write = {});
    Reply reply(std::size_t call);
    Reply call(const char* path, const char* interface, const char* member,
               const std::function<void(sd_bus_message*)>& write = {});

    // A property of a basic type or string, as text ("4096", "simulated").
    std::string property(const char* path, const char* interface, const char* name);
    std::string introspect(const char* path);

    // Waits for a signal of that name; its message.
    Reply signal(const std::string& member);
    // Writes what is queued and reads what comes, until something did or time is up; false: the connection is gone.
    bool pump(std::chrono::milliseconds most);
    [[nodiscard]] bool gone_in_time();
    [[nodiscard]] sd_bus* bus() const { return bus_.get(); }

  private:
    static int keep_reply(sd_bus_message* message, void* userdata, sd_bus_error*);
    static int keep_signal(sd_bus_message* message, void* userdata, sd_bus_error*);

    BusPtr bus_;
    const char* destination_ = nullptr;
    std::vector<std::unique_ptr<MessagePtr>> replies_;
    std::vector<MessagePtr> signals_;
};

// Arguments: of type as, of type a{sv}, and those of a good Acquire of the first device.
void write_strings(sd_bus_message* message, const std::vector<std::string>& texts);
void write_no_options(sd_bus_message* message);
void write_acquire(sd_bus_message* message);

}  // namespace iommud::worker::test
