// How many connections and workers anybody may have (DESIGN §2): a flood costs its sender, nobody else. Pure values:
// time comes in as a parameter.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "daemon/base/worker_bounds.hpp"

namespace iommud::monitor {

// Places that many parties share. Each of the first `parties` has `base` of them for certain, whatever all others do.
// Of what is left over, a party gets at most half of what the others leave; and never more than `each` in all.
class Places {
  public:
    struct Bounds {
        std::uint32_t in_all;
        std::uint32_t parties;
        std::uint32_t base;
        std::uint32_t each;
    };
    explicit constexpr Places(const Bounds& bounds) : bounds_(bounds) {}

    // Whether a party that has `own` places may have one more.
    [[nodiscard]] bool fit_one_more(std::uint32_t own) const;
    void add(std::uint32_t own);     // to a party that has `own` now
    void remove(std::uint32_t own);  // from a party that has `own` now, at least one
    [[nodiscard]] std::uint32_t taken() const { return taken_; }

  private:
    [[nodiscard]] std::uint32_t beyond_base(std::uint32_t own) const {
        return own > bounds_.base ? own - bounds_.base : 0;
    }
    Bounds bounds_;
    std::uint32_t taken_ = 0;
    std::uint32_t extra_ = 0;  // of these, beyond the bases
};

class Admission {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::uint32_t connections_each = 32;         // per user; in a container per uid
    static constexpr std::uint32_t workers_per_second_each = 16;  // likewise
    static constexpr std::uint32_t looks_per_second_each = 64;    // likewise: connections that are looked at in /proc
    // Of one endpoint, whatever its uids: a container has as many of those as it likes.
    static constexpr std::uint32_t connections_of_endpoint = most_workers_of_one;
    static constexpr std::uint32_t workers_per_second_of_endpoint = 32;
    static constexpr std::uint32_t looks_per_second_of_endpoint = 128;
    static constexpr std::uint32_t connections_in_all = 1024;
    static constexpr std::uint32_t kept_for_root = 64;  // of connections_in_all
    // The host's users and containers have half of the rest each.
    static constexpr Places::Bounds users{.in_all = 480, .parties = 128, .base = 2, .each = connections_each};
    static constexpr Places::Bounds containers{
        .in_all = 480, .parties = 352, .base = 1, .each = connections_of_endpoint};
    static_assert(users.in_all + containers.in_all + kept_for_root == connections_in_all);

    // Who counts for a uid that /etc/subuid gives to several users: one party, for all such uids.
    static constexpr std::uint32_t several_owners = 0xfffffffe;

    struct Party {
        std::uint32_t uid = 0;  // on the host the owner's (policy::Names::owner_of): subordinate uids are his
        std::string endpoint;   // empty: the host
        bool root = false;      // the host's uid 0, or the system bus's worker: bound by connections_in_all alone
        auto operator<=>(const Party&) const = default;
    };

    // Counts one connection of `party`, or says why not in a few words. Each success is paid back by leave().
    [[nodiscard]] const char* enter(const Party& party);
    void leave(const Party& party);

    // Whether one more connection of `party` may be looked at in /proc at `now`, which is what it costs before it has
    // entered; counts it when it may.
    [[nodiscard]] bool look(const Party& party, Clock::time_point now);
    // Whether `party` may start one more worker at `now`; counts it when it may.
    [[nodiscard]] bool start_worker(const Party& party, Clock::time_point now);

    [[nodiscard]] std::uint32_t connections() const { return users_.taken() + containers_.taken() + of_root_; }
    [[nodiscard]] std::size_t parties() const { return parties_.size(); }

  private:
    struct Counts {
        std::uint32_t connections = 0;
        Clock::time_point second{};  // start of the current second
        std::uint32_t workers = 0;   // started in it
        std::uint32_t looks = 0;     // in it
    };
    struct Rate {
        std::uint32_t Counts::*count;
        std::uint32_t each;
        std::uint32_t of_endpoint;
    };
    // Who counts for all uids of an endpoint.
    [[nodiscard]] static Party all_of(const Party& party) { return {~0U, party.endpoint}; }
    [[nodiscard]] std::uint32_t connections_of(const Party& party) const;
    void leave_one(const Party& party);
    [[nodiscard]] bool within(const Rate& rate, const Party& party, Clock::time_point now);
    // Who has no connection, and did nothing in this second: nothing is counted of him.
    void forget_the_quiet(Clock::time_point now);
    [[nodiscard]] Counts& in_second(const Party& party, Clock::time_point now);

    std::map<Party, Counts> parties_;
    Places users_{users};
    Places containers_{containers};
    std::uint32_t of_root_ = 0;
};

}  // namespace iommud::monitor
