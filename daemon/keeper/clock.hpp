// The clock that grace periods and reports go by.
#pragma once

#include <chrono>
#include <cstdint>

namespace iommud::keeper {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC

// As clients read it in ReleaseRequested.
[[nodiscard]] inline std::uint64_t usec_of(Clock::time_point time) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

}  // namespace iommud::keeper
