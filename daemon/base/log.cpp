#include "daemon/base/log.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

#include "daemon/base/unique_fd.hpp"

namespace iommud::log {
namespace {

struct State {
    const char* identifier = "iommud";
    Priority most_verbose = Priority::info;
    UniqueFd journal;
    std::uint64_t dropped = 0;
};

State& state() {
    static State the_state;
    return the_state;
}

// The journal's native protocol: NAME=value lines; a value with a newline has its length before it.
// https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
void append_field(std::string& datagram, std::string_view name, std::string_view value) {
    datagram += name;
    if (value.find('\n') == std::string_view::npos) {
        datagram += '=';
    } else {
        datagram += '\n';
        std::uint64_t length = value.size();
        for (int byte = 0; byte < 8; ++byte, length >>= 8) {
            datagram += static_cast<char>(length & 0xff);
        }
    }
    datagram += value;
    datagram += '\n';
}

void to_stderr(std::string_view message, std::initializer_list<Field> fields) {
    std::string line = fmt::format("{}: {}", state().identifier, message);
    for (const Field& field : fields) {
        line += fmt::format(" {}={}", field.first, field.second);
    }
    line += '\n';
    if (::write(STDERR_FILENO, line.data(), line.size()) < 0) {
        ++state().dropped;
    }
}

}  // namespace

void open(const char* identifier) {
    state().identifier = identifier;
    if (::secure_getenv("JOURNAL_STREAM") == nullptr) {
        return;
    }
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, "/run/systemd/journal/socket", sizeof address.sun_path - 1);
    if (fd.valid() && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        state().journal = std::move(fd);
    }
}

void set_most_verbose(Priority priority) {
    state().most_verbose = priority;
}

void write(Priority priority, std::string_view message, std::initializer_list<Field> fields) {
    if (priority > state().most_verbose) {
        return;
    }
    if (!state().journal.valid()) {
        to_stderr(message, fields);
        return;
    }
    std::string datagram;
    append_field(datagram, "MESSAGE", message);
    append_field(datagram, "PRIORITY", std::to_string(static_cast<int>(priority)));
    append_field(datagram, "SYSLOG_IDENTIFIER", state().identifier);
    for (const Field& field : fields) {
        append_field(datagram, field.first, field.second);
    }
    if (::send(state().journal.get(), datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        ++state().dropped;
    }
}

std::uint64_t dropped() {
    return state().dropped;
}

}  // namespace iommud::log
