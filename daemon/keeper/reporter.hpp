// What the monitor is told: each change of state at once, changes of what is mapped within 50 ms, gathered.
#pragma once

#include <optional>
#include <vector>

#include "daemon/keeper/clock.hpp"
#include "daemon/keeper/control.hpp"

namespace iommud::keeper {

class Reporter {
  public:
    static constexpr std::chrono::milliseconds interval{50};
    static constexpr std::chrono::milliseconds retry{1000};  // while the monitor is away and its queue full

    // `control` outlives this.
    explicit Reporter(const Control& control) : control_(control) {}

    void set_state(LeaseState state, Clock::time_point now);
    void set_mapped(std::uint64_t mapped, std::uint32_t maps, Clock::time_point now);
    void add_no_reset(const std::vector<PciAddress>& devices);
    void report(Clock::time_point now);

    // When report() should be called again; nothing: when something changes.
    [[nodiscard]] std::optional<Clock::time_point> due() const { return due_; }

  private:
    const Control& control_;
    ipc::KeeperReport report_;
    std::optional<Clock::time_point> due_;
};

}  // namespace iommud::keeper
