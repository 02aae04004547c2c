#include "daemon/keeper/take_back.hpp"

#include <algorithm>

#include "daemon/keeper/failpoint.hpp"

namespace iommud::keeper {

bool TakeBack::end_dma() {
    failpoint("release");
    return memory_.unmap_all() == 0;
}

bool TakeBack::destroy() {
    if (attempts_ > 0) {
        static_cast<void>(memory_.unmap_all());
    }
    context_.detach_devices();
    if (context_.destroy() != 0 && ++attempts_ < most_attempts) {
        return false;
    }
    failpoint("destroyed");
    return true;
}

void TakeBack::close_devices() {
    context_.close_devices();
}

bool TakeBack::drained() {
    failpoint("drain");
    if (context_.let_go()) {
        return true;
    }
    pause_ms_ = std::min(pause_ms_ * 2, longest_pause_ms);
    return false;
}

}  // namespace iommud::keeper
