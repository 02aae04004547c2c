// What the bus objects share, and the border between sd-bus's C callbacks and our code.
#pragma once

#include <cerrno>
#include <exception>
#include <new>

#include "daemon/worker/bus_error.hpp"
#include "daemon/worker/bus_reactor.hpp"
#include "daemon/worker/replica.hpp"
#include "daemon/worker/requests.hpp"

namespace iommud::worker {

struct Session {
    ConnectionKind kind;
    const Replica& replica;
    Requests& requests;
    CallbackFailure& failure;
};

// A method's callback: `Handler(Session&, call)` gives Result<void>. What it throws ends the worker once sd-bus has
// returned.
template <auto Handler>
int answer(Session& session, sd_bus_message* call, sd_bus_error* error) noexcept {
    try {
        const Result<void> taken = Handler(session, call);
        return taken ? 1 : set_error(error, taken.error());
    } catch (...) {
        session.failure.keep(std::current_exception());
        return -ECANCELED;
    }
}

// The callback of every call to a path below a prefix: `Known(Session&, call)` says whether something is there. A
// vtable's finder cannot say that: where sd-bus looks for more than a member of the vtable, its error ends as EIO.
template <auto Known>
int refuse_absent(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept {
    Session& session = *static_cast<Session*>(userdata);
    try {
        const Result<void> known = Known(session, call);
        return known ? 0 : set_error(error, known.error());
    } catch (...) {
        session.failure.keep(std::current_exception());
        return -ECANCELED;
    }
}

// A property's callback: appends what `Get(const View&)` gives.
template <class View, auto Get>
int property(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* userdata,
             sd_bus_error*) noexcept {
    try {
        return append(reply, Get(*static_cast<const View*>(userdata)));
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
}

// Each puts its objects on the bus; `session` outlives the bus. Throws Fatal.
void add_manager(sd_bus* bus, Session& session);
void add_devices(sd_bus* bus, Session& session);
void add_leases(sd_bus* bus, Session& session);
// Leases on the system bus, where who asks is known only after the bus was asked: not among the objects, but there for
// their holder who knows the path.
void add_bus_leases(sd_bus* bus, Session& session);

}  // namespace iommud::worker
