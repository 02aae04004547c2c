// What the monitor is told: each change of state at once, changes of what is mapped gathered: soon after a quiet time,
// once a second while they go on. A thousand leases that map all the time must not keep it, and everybody's workers,
// busy.
#pragma once

#include <optional>
#include <vector>

#include "daemon/keeper/clock.hpp"
#include "daemon/keeper/control.hpp"

namespace iommud::keeper {

class Reporter {
  public:
    static constexpr std::chrono::milliseconds soon{50};
    static constexpr std::chrono::milliseconds interval{1000};
    static constexpr std::chrono::milliseconds retry{1000};  // while the monitor is away and its queue full

    // `control` outlives this.
    explicit Reporter(const Control& control) : control_(control) {}

    void set_state(LeaseState state, Clock::time_point now);
    void set_mapped(std::uint64_t mapped, std::uint32_t maps, Clock::time_point now);
    void report(Clock::time_point now);

    // When report() should be called again; nothing: when something changes.
    [[nodiscard]] std::optional<Clock::time_point> due() const { return due_; }

  private:
    const Control& control_;
    ipc::KeeperReport report_;
    std::optional<Clock::time_point> due_;
    std::optional<Clock::time_point> reported_;  // last
};

}  // namespace iommud::keeper
