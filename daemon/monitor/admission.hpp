// How many connections and workers anybody may have (DESIGN §2): a flood costs its sender, nobody else. Pure values:
// time comes in as a parameter.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace iommud::monitor {

class Admission {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::uint32_t connections_each = 32;         // per uid and endpoint
    static constexpr std::uint32_t workers_per_second_each = 16;  // per uid and endpoint
    // Of one endpoint, whatever its uids: a container has as many of those as it likes.
    static constexpr std::uint32_t connections_of_endpoint = 64;
    static constexpr std::uint32_t workers_per_second_of_endpoint = 32;
    static constexpr std::uint32_t connections_in_all = 1024;
    static constexpr std::uint32_t kept_for_root = 64;  // the last of connections_in_all

    struct Party {
        std::uint32_t uid = 0;
        std::string endpoint;
        auto operator<=>(const Party&) const = default;
    };

    // Counts one connection of `party`, or says why not in a few words. Each success is paid back by leave().
    [[nodiscard]] const char* enter(const Party& party);
    void leave(const Party& party);

    // Whether `party` may start one more worker at `now`; counts it when it may. The host's root is never delayed.
    [[nodiscard]] bool start_worker(const Party& party, Clock::time_point now);

    [[nodiscard]] std::uint32_t connections() const { return total_; }
    [[nodiscard]] std::size_t parties() const { return parties_.size(); }

  private:
    struct Counts {
        std::uint32_t connections = 0;
        Clock::time_point second{};  // start of the current second
        std::uint32_t workers = 0;   // started in it
    };
    [[nodiscard]] static bool hosts_root(const Party& party) { return party.uid == 0 && party.endpoint.empty(); }
    // Who counts for all uids of an endpoint; the host has no such one.
    [[nodiscard]] static Party all_of(const Party& party) { return {~0U, party.endpoint}; }
    void leave_one(const Party& party);
    // Who has no connection, and started no worker in this second: nothing is counted of him.
    void forget_the_quiet(Clock::time_point now);
    [[nodiscard]] Counts& in_second(const Party& party, Clock::time_point now);

    std::map<Party, Counts> parties_;
    std::uint32_t total_ = 0;
};

}  // namespace iommud::monitor
