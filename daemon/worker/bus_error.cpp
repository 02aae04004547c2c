#include "daemon/worker/bus_error.hpp"

#include <cerrno>
#include <exception>

#include "daemon/base/log.hpp"
#include "daemon/worker/text.hpp"

namespace iommud::worker {
namespace {

void log_own_bug(const Error& error) {
    if (error.code == ErrorCode::internal) {
        log::error("a request failed by a fault of the daemon's own", {{"IOMMUD_ERROR", error.message}});
    }
}

}  // namespace

int set_error(sd_bus_error* out, const Error& error) noexcept {
    try {
        log_own_bug(error);
        return sd_bus_error_set(out, dbus_error_name(error.code), valid_text(error.message).c_str());
    } catch (const std::exception&) {
        return -ENOMEM;
    }
}

void reply_error(sd_bus* bus, sd_bus_message* call, const Error& error) {
    log_own_bug(error);
    sd_bus_message* raw = nullptr;
    const std::string message = valid_text(error.message);
    const sd_bus_error fields{dbus_error_name(error.code), message.c_str(), 0};
    must(sd_bus_message_new_method_error(call, &raw, &fields), "make an error reply");
    const MessagePtr reply(raw);
    send(bus, reply.get());
}

}  // namespace iommud::worker
