// Taking a lease back, in the order that makes it final (hazard C10): nobody reads the lease channels any more; all is
// unmapped, which ends DMA, since nobody else can map; devices are detached and the address space is destroyed, so that
// nothing can be attached again; the devices are closed, which resets them; then the kernel has to let go of what the
// client still holds.
#pragma once

#include <cstdint>

#include "daemon/keeper/lease_memory.hpp"
#include "daemon/kernel/context.hpp"

namespace iommud::keeper {

class TakeBack {
  public:
    // Both outlive this.
    TakeBack(kernel::DmaContext& context, LeaseMemory& memory) : context_(context), memory_(memory) {}

    // Tries once; true when all is unmapped. False: again in `pause_ms`; never given up.
    [[nodiscard]] bool end_dma();
    // Tries once, after end_dma(); true when the devices may be closed. False: again in `pause_ms`. Unmaps again: a map
    // of a predecessor that is stuck in the kernel may have been completed in between.
    [[nodiscard]] bool destroy();
    // Waits for resets. Once, after destroy().
    void close_devices();
    // Tries once; true when the kernel has let go of everything. False: again in `pause_ms`.
    [[nodiscard]] bool drained();

    [[nodiscard]] int pause_ms() const { return pause_ms_; }

  private:
    static constexpr int shortest_pause_ms = 1;
    static constexpr int longest_pause_ms = 100;
    // A client that attaches in a loop loses this race soon. One that does not lets its device stay bound to an address
    // space that is empty and stays so: it is closed all the same.
    static constexpr int most_attempts = 500;

    kernel::DmaContext& context_;
    LeaseMemory& memory_;
    int attempts_ = 0;
    int pause_ms_ = shortest_pause_ms;
};

}  // namespace iommud::keeper
