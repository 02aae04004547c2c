// Who asks on the system bus: the bus says it, by the unique name of a message's sender, when it is asked. Nothing here
// waits for it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/worker/bus.hpp"
#include "daemon/worker/bus_reactor.hpp"

namespace iommud::worker {

struct SlotDeleter {
    void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using SlotPtr = std::unique_ptr<sd_bus_slot, SlotDeleter>;

// By the bus daemon's word.
struct Vouched {
    std::uint32_t uid = 0xffffffff;
    std::vector<std::uint32_t> groups;
};

// What a reply to GetConnectionCredentials says. AccessDenied when it does not say both: a deny for a group must be
// able to match.
[[nodiscard]] Result<Vouched> read_credentials(sd_bus_message* reply);

class Senders {
  public:
    static constexpr std::size_t most_of_one_name = 8;
    static constexpr std::size_t most_of_one_uid = 16;

    // Where a request goes once it is known whose it is, by its cookie.
    struct Handlers {
        std::function<void(std::uint64_t cookie, const Vouched& who)> known;
        std::function<void(std::uint64_t cookie, const Error& error)> refused;
        std::function<void(std::uint64_t cookie)> vanished;  // nobody is there to answer
        std::function<void()> name_lost;                     // org.iommud1 is not ours any more
    };
    // Asks the bus for the signals it needs, and waits for that. `bus` and `failure` outlive this. Throws Fatal.
    Senders(sd_bus* bus, CallbackFailure& failure, Handlers handlers);

    // Finds out who sent `call`. InvalidArgument when that one has too many requests under way.
    [[nodiscard]] Result<void> ask(std::uint64_t cookie, sd_bus_message* call);
    // The request is answered. No callback of it comes any more.
    void done(std::uint64_t cookie) { entries_.erase(cookie); }

  private:
    struct Entry {
        Senders* senders = nullptr;
        std::uint64_t cookie = 0;
        std::string name;
        std::optional<std::uint32_t> uid;
        SlotPtr question;
    };

    static int on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*) noexcept;
    static int on_vanished(sd_bus_message* signal, void* userdata, sd_bus_error*) noexcept;
    static int on_lost(sd_bus_message* signal, void* userdata, sd_bus_error*) noexcept;
    void told(Entry& entry, sd_bus_message* reply);
    void name_changed(sd_bus_message* signal);

    sd_bus* bus_;
    CallbackFailure& failure_;
    Handlers handlers_;
    std::map<std::uint64_t, Entry> entries_;  // by cookie; the bus keeps pointers to them
};

}  // namespace iommud::worker
