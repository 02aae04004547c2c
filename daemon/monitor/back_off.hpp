// When to try again what keeps failing: each time twice as long, up to a minute. What had held for a minute fails anew.
#pragma once

#include <algorithm>
#include <chrono>

namespace iommud::monitor {

class BackOff {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds least{1};
    static constexpr std::chrono::seconds most{60};

    struct Failure {
        std::chrono::seconds wait;
        bool first;  // of a row
    };

    void started(Clock::time_point now) { started_ = now; }
    [[nodiscard]] Failure failed(Clock::time_point now) {
        if (now - started_ >= most) {
            wait_ = least;
        }
        const Failure failure{wait_, wait_ == least};
        wait_ = std::min(2 * wait_, most);
        return failure;
    }

  private:
    Clock::time_point started_{};
    std::chrono::seconds wait_ = least;
};

}  // namespace iommud::monitor
