#include "daemon/keeper/reporter.hpp"

#include <algorithm>

namespace iommud::keeper {

void Reporter::set_state(LeaseState state, Clock::time_point now) {
    report_.state = state;
    report(now);
}

void Reporter::set_mapped(std::uint64_t mapped, std::uint32_t maps, Clock::time_point now) {
    report_.mapped = mapped;
    report_.maps = maps;
    if (!due_) {
        due_ = now + soon;  // not at once: somebody waits for the next map
        if (reported_) {
            due_ = std::max(*due_, *reported_ + interval);
        }
    }
}

void Reporter::report(Clock::time_point now) {
    due_.reset();
    reported_ = now;
    if (!control_.report(report_)) {
        due_ = now + retry;
    }
}

}  // namespace iommud::keeper
