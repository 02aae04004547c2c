#include "client/oci-hook/daemon.hpp"

#include <chrono>

namespace iommud::hook {
namespace {

using lib::Message;
using lib::Outcome;

constexpr std::chrono::seconds patience{5};  // less than the hook's own time

// Remembers the first failure of many appends.
class Writer {
  public:
    explicit Writer(sd_bus_message* message) : message_(message) {}
    template <class... Values>
    void append(const char* types, Values... values) {
        keep(sd_bus_message_append(message_, types, values...));
    }
    void open(char type, const char* contents) { keep(sd_bus_message_open_container(message_, type, contents)); }
    void close() { keep(sd_bus_message_close_container(message_)); }
    [[nodiscard]] int result() const { return result_; }

  private:
    void keep(int result) { result_ = result_ < 0 ? result_ : result; }
    sd_bus_message* message_;
    int result_ = 0;
};

void open_option(Writer& writer, const char* key, const char* type) {
    writer.open('e', "sv");
    writer.append("s", key);
    writer.open('v', type);
}

void close_option(Writer& writer) {
    writer.close();
    writer.close();
}

void write(Writer& writer, const Registration& container) {
    writer.append("s", container.id.c_str());
    writer.open('a', "{sv}");
    writer.append("{sv}", "pid", "u", container.pid);
    writer.append("{sv}", "uid", "u", container.owner);
    if (!container.wish.devices.empty()) {
        open_option(writer, "devices", "as");
        writer.open('a', "s");
        for (const PciAddress& device : container.wish.devices) {
            writer.append("s", device.text().c_str());
        }
        writer.close();
        close_option(writer);
    }
    if (container.wish.memory) {
        writer.append("{sv}", "memory", "t", *container.wish.memory);
    }
    open_option(writer, "annotations", "a{ss}");
    writer.open('a', "{ss}");
    for (const auto& [key, value] : container.annotations) {
        writer.append("{ss}", key.c_str(), value.c_str());
    }
    writer.close();
    close_option(writer);
    writer.close();
}

}  // namespace

Outcome<std::string> open_endpoint(const lib::Bus& bus, const Registration& container) {
    auto call = bus.new_call(lib::manager_path, lib::manager_interface, "OpenEndpoint");
    if (!call) {
        return tl::unexpected(call.error());
    }
    Writer writer(call->get());
    write(writer, container);
    if (writer.result() < 0) {
        return lib::message_failed("OpenEndpoint", writer.result());
    }
    const auto reply = bus.call(*call, patience);
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    const char* path = nullptr;
    const int result = sd_bus_message_read(reply->get(), "s", &path);
    return result < 0 ? Outcome<std::string>(lib::message_failed("OpenEndpoint", result)) : std::string(path);
}

Outcome<void> close_endpoint(const lib::Bus& bus, const std::string& id, Which which) {
    auto call = bus.new_call(lib::manager_path, lib::manager_interface, "CloseEndpoint");
    if (!call) {
        return tl::unexpected(call.error());
    }
    const int result =
        sd_bus_message_append(call->get(), "sa{sv}", id.c_str(), 1, which == Which::own ? "own" : "if-ended", "b", 1);
    if (result < 0) {
        return lib::message_failed("CloseEndpoint", result);
    }
    const auto reply = bus.call(*call, patience);
    return reply ? Outcome<void>() : tl::unexpected(reply.error());
}

}  // namespace iommud::hook
