// The log of a process's edges: libraries do not log. Never blocks: to the journal by its native protocol when the
// process runs under systemd (JOURNAL_STREAM is set), else lines on stderr; what cannot be written at once is dropped
// and counted.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace iommud::log {

// syslog(3) priorities.
enum class Priority : int { err = 3, warning = 4, notice = 5, info = 6, debug = 7 };

// A structured field: upper-case name ("IOMMUD_LEASE") and its value.
using Field = std::pair<std::string_view, std::string>;

// Call once, before any sandbox: connects to the journal. `identifier` ("iommud-keeper") lives for ever.
void open(const char* identifier);
void set_most_verbose(Priority priority);  // default: info
void write(Priority priority, std::string_view message, std::initializer_list<Field> fields = {});
[[nodiscard]] std::uint64_t dropped();

inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Priority::err, message, fields);
}
inline void warning(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Priority::warning, message, fields);
}
inline void notice(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Priority::notice, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Priority::info, message, fields);
}
inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Priority::debug, message, fields);
}

}  // namespace iommud::log
