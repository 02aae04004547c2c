#include "tests/integration/worker/client.hpp"

#include <algorithm>

#include "daemon/worker/names.hpp"

namespace iommud::worker::test {
namespace {

using Clock = std::chrono::steady_clock;

std::string text_of(sd_bus_message* message) {
    char type = 0;
    const char* contents = nullptr;
    must(sd_bus_message_peek_type(message, &type, &contents), "peek");
    union {
        const char* text;
        std::uint64_t wide;
        std::uint32_t number;
        std::int32_t whole;
        std::uint16_t narrow;
        int truth;
    } value{};
    must(sd_bus_message_read_basic(message, type, &value), "read a property");
    switch (type) {
        case 't':
            return std::to_string(value.wide);
        case 'u':
            return std::to_string(value.number);
        case 'i':
            return std::to_string(value.whole);
        case 'q':
            return std::to_string(value.narrow);
        case 'b':
            return value.truth != 0 ? "true" : "false";
        default:
            return value.text;
    }
}

}  // namespace

std::string Reply::error() const {
    if (!message) {
        return "none";
    }
    const sd_bus_error* const error = sd_bus_message_get_error(message.get());
    return error == nullptr ? "" : error->name;
}

std::string Reply::error_text() const {
    const sd_bus_error* const error = message ? sd_bus_message_get_error(message.get()) : nullptr;
    return error == nullptr ? "" : error->message;
}

Client::Client(UniqueFd connection) {
    sd_bus* raw = nullptr;
    must(sd_bus_new(&raw), "make a client");
    bus_.reset(raw);
    must(sd_bus_negotiate_fds(raw, 1), "allow descriptors");
    must(sd_bus_set_fd(raw, connection.get(), connection.get()), "set the descriptor");
    static_cast<void>(connection.release());
    must(sd_bus_start(raw), "start");
    must(sd_bus_add_match(raw, nullptr, "type='signal'", keep_signal, this), "listen");
}

Client::Client(const std::string& address) : destination_(bus_name) {
    sd_bus* raw = nullptr;
    must(sd_bus_new(&raw), "make a client");
    bus_.reset(raw);
    must(sd_bus_set_address(raw, address.c_str()), "set the address");
    must(sd_bus_set_bus_client(raw, 1), "be a bus client");
    must(sd_bus_start(raw), "start");
    must(sd_bus_add_match(raw, nullptr, "type='signal',sender='org.iommud1'", keep_signal, this), "listen");
}

std::size_t Client::start(const char* path, const char* interface, const char* member,
                          const std::function<void(sd_bus_message*)>& write) {
    sd_bus_message* raw = nullptr;
    must(sd_bus_message_new_method_call(bus_.get(), &raw, destination_, path, interface, member), "make a call");
    const MessagePtr message(raw);
    if (write) {
        write(raw);
    }
    replies_.push_back(std::make_unique<MessagePtr>());
    must(sd_bus_call_async(bus_.get(), nullptr, raw, keep_reply, replies_.back().get(), 0), "call");
    static_cast<void>(pump(std::chrono::milliseconds(0)));
    return replies_.size() - 1;
}

Reply Client::reply(std::size_t call) {
    const auto deadline = Clock::now() + patience;
    while (!*replies_[call] && Clock::now() < deadline && pump(std::chrono::milliseconds(100))) {
    }
    return Reply{std::move(*replies_[call])};
}

Reply Client::call(const char* path, const char* interface, const char* member,
                   const std::function<void(sd_bus_message*)>& write) {
    return reply(start(path, interface, member, write));
}

std::string Client::property(const char* path, const char* interface, const char* name) {
    const Reply reply = call(path, "org.freedesktop.DBus.Properties", "Get", [&](sd_bus_message* message) {
        must(sd_bus_message_append(message, "ss", interface, name), "append");
    });
    if (!reply.error().empty()) {
        return reply.error();
    }
    const char* contents = nullptr;
    must(sd_bus_message_peek_type(reply.message.get(), nullptr, &contents), "peek");
    must(sd_bus_message_enter_container(reply.message.get(), 'v', contents), "enter");
    return text_of(reply.message.get());
}

std::string Client::introspect(const char* path) {
    const Reply reply = call(path, "org.freedesktop.DBus.Introspectable", "Introspect");
    return reply.error().empty() ? text_of(reply.message.get()) : reply.error();
}

Reply Client::signal(const std::string& member) {
    const auto named = [&member](const MessagePtr& message) {
        return member == sd_bus_message_get_member(message.get());
    };
    const auto deadline = Clock::now() + patience;
    auto found = std::find_if(signals_.begin(), signals_.end(), named);
    while (found == signals_.end() && Clock::now() < deadline && pump(std::chrono::milliseconds(100))) {
        found = std::find_if(signals_.begin(), signals_.end(), named);
    }
    if (found == signals_.end()) {
        return {};
    }
    Reply reply{std::move(*found)};
    signals_.erase(found);
    return reply;
}

bool Client::pump(std::chrono::milliseconds most) {
    const auto deadline = Clock::now() + most;
    for (bool some = false;;) {
        int processed = 0;
        while ((processed = sd_bus_process(bus_.get(), nullptr)) > 0) {
            some = true;
        }
        const auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now());
        if (processed < 0 || some || left.count() <= 0) {
            return processed >= 0;
        }
        static_cast<void>(sd_bus_wait(bus_.get(), static_cast<std::uint64_t>(left.count())));
    }
}

bool Client::gone_in_time() {
    const auto deadline = Clock::now() + patience;
    while (Clock::now() < deadline) {
        if (!pump(std::chrono::milliseconds(100))) {
            return true;
        }
    }
    return false;
}

int Client::keep_reply(sd_bus_message* message, void* userdata, sd_bus_error*) {
    static_cast<MessagePtr*>(userdata)->reset(sd_bus_message_ref(message));
    return 0;
}

int Client::keep_signal(sd_bus_message* message, void* userdata, sd_bus_error*) {
    static_cast<Client*>(userdata)->signals_.emplace_back(sd_bus_message_ref(message));
    return 0;
}

void write_strings(sd_bus_message* message, const std::vector<std::string>& texts) {
    must(append(message, texts), "append strings");
}

void write_no_options(sd_bus_message* message) {
    must(sd_bus_message_append(message, "a{sv}", 0), "append options");
}

void write_acquire(sd_bus_message* message) {
    write_strings(message, {"0000:00:04.0"});
    must(sd_bus_message_append(message, "a{sv}", 3, "mode", "s", "managed", "memory", "t", std::uint64_t{4096}, "label",
                               "s", "test"),
         "append options");
}

}  // namespace iommud::worker::test
