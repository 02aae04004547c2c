#include "daemon/keeper/reporter.hpp"

namespace iommud::keeper {

void Reporter::set_state(LeaseState state, Clock::time_point now) {
    report_.state = state;
    report(now);
}

void Reporter::set_mapped(std::uint64_t mapped, std::uint32_t maps, Clock::time_point now) {
    report_.mapped = mapped;
    report_.maps = maps;
    if (!due_) {
        due_ = now + interval;  // not at once: somebody waits for the next map
    }
}

void Reporter::add_no_reset(const std::vector<PciAddress>& devices) {
    report_.no_reset.insert(report_.no_reset.end(), devices.begin(), devices.end());
}

void Reporter::report(Clock::time_point now) {
    due_.reset();
    if (!control_.report(report_)) {
        due_ = now + retry;
    }
}

}  // namespace iommud::keeper
