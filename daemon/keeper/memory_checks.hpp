// What a client's memory must be before it is mapped (DESIGN §3): sealed against shrinking, fit for the access asked,
// and there, every page of it. The kernel checks none of this.
#pragma once

#include <cstdint>

#include "client/lib/include/iommud/lease_channel.h"
#include "daemon/base/unique_fd.hpp"
#include "daemon/kernel/context.hpp"

namespace iommud::keeper {

struct MemoryVerdict {
    iommud_error error = IOMMUD_ERROR_NONE;
    std::uint64_t value = 0;      // for INVALID_MEMORY an iommud_memory_fault
    std::uint64_t page_size = 0;  // the memory's own: larger than a page for hugetlb
};

// Whether closing the descriptor cannot wait: memory's cannot, while a FUSE server may keep a close of its file waiting
// for ever, and the closer of a socket that is queued in another runs its linger (hazards H4, C20). Asks no file
// system, and takes no lock.
[[nodiscard]] bool closes_at_once(BorrowedFd descriptor);

// Never waits on anything but the memory's own file. Moves the file's offset (SEEK_HOLE does).
[[nodiscard]] MemoryVerdict check_memory(BorrowedFd memory, std::uint64_t offset, std::uint64_t length,
                                         kernel::Access access);

}  // namespace iommud::keeper
