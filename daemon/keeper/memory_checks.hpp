// What a client's descriptor must be before its memory is mapped (DESIGN §3): memory, and nothing that could make the
// keeper wait. Whether it may be written to, and has the pages, the kernel says when the keeper maps it.
#pragma once

#include <cstdint>

#include "client/lib/include/iommud/lease_channel.h"
#include "daemon/base/unique_fd.hpp"

namespace iommud::keeper {

struct MemoryVerdict {
    iommud_error error = IOMMUD_ERROR_NONE;
    std::uint64_t value = 0;      // what goes with the error: an iommud_memory_fault, or a fault_value()
    std::uint64_t page_size = 0;  // the memory's own: larger than a page for hugetlb
};

// Whether closing the descriptor cannot wait: memory's cannot, while a FUSE server may keep a close of its file waiting
// for ever, and the closer of a socket that is queued in another runs its linger (hazards H4, C20). Asks no file
// system, and takes no lock.
[[nodiscard]] bool closes_at_once(BorrowedFd descriptor);

// Takes no lock that a client can hold: docs/PRIVSEP.md has each call (hazard C21).
[[nodiscard]] MemoryVerdict check_memory(BorrowedFd memory, std::uint64_t offset, std::uint64_t length);

}  // namespace iommud::keeper
