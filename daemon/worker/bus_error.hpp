// Failures as D-Bus errors: base/error.hpp has the one table of names.
#pragma once

#include "daemon/worker/bus.hpp"

namespace iommud::worker {

// Fills `out`; returns what a method's callback must return then. An internal error is our bug, and logged as such.
int set_error(sd_bus_error* out, const Error& error) noexcept;

// Answers `call`. Throws Fatal.
void reply_error(sd_bus* bus, sd_bus_message* call, const Error& error);

}  // namespace iommud::worker
