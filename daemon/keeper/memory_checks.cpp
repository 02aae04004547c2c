#include "daemon/keeper/memory_checks.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "daemon/base/bytes.hpp"

namespace iommud::keeper {
namespace {

constexpr MemoryVerdict invalid_argument{IOMMUD_ERROR_INVALID_ARGUMENT, 0, 0};

MemoryVerdict invalid(iommud_memory_fault fault) {
    return {IOMMUD_ERROR_INVALID_MEMORY, fault, 0};
}

// A file of tmpfs or hugetlbfs answers F_GET_SEALS too, and can never be sealed; unlike a memfd it has a name.
bool has_a_name(BorrowedFd memory) {
    struct stat status {};
    return ::fstat(memory.get(), &status) == 0 && status.st_nlink > 0;
}

// The seal against shrinking is what makes the later checks stay true.
MemoryVerdict check_seals(BorrowedFd memory, kernel::Access access) {
    // First, because it is refused by every other kind of file without asking that file's file system: a FUSE server
    // could make us wait for ever (hazard H4).
    const int seals = ::fcntl(memory.get(), F_GET_SEALS);
    if (seals < 0) {
        return invalid(IOMMUD_MEMORY_NOT_MEMFD);
    }
    if ((seals & F_SEAL_SHRINK) == 0) {
        return invalid(has_a_name(memory) ? IOMMUD_MEMORY_NOT_MEMFD : IOMMUD_MEMORY_NOT_SEALED);
    }
    // MAP_FILE looks at neither (hazard C2): DMA would write where the client itself may not. A descriptor that cannot
    // be read is refused for reads likewise.
    const int mode = ::fcntl(memory.get(), F_GETFL) & O_ACCMODE;
    const bool may_write = mode == O_RDWR && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0;
    if ((access.write && !may_write) || (mode != O_RDWR && mode != O_RDONLY)) {
        return invalid(IOMMUD_MEMORY_NOT_WRITABLE);
    }
    return {};
}

// hugetlb files answer SEEK_HOLE as if they never had a hole. So the whole file must be allocated; each page of it is
// cleared when it is.
MemoryVerdict check_hugetlb(BorrowedFd memory, std::uint64_t offset, std::uint64_t length, std::uint64_t huge_page) {
    struct stat status {};
    if (::fstat(memory.get(), &status) != 0 || status.st_size < 0 || huge_page == 0) {
        return invalid(IOMMUD_MEMORY_NOT_MEMFD);
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (offset > size || length > size - offset || offset % huge_page != 0 || length % huge_page != 0) {
        return invalid_argument;
    }
    constexpr std::uint64_t block = 512;
    if (static_cast<std::uint64_t>(status.st_blocks) < size / block) {
        return invalid(IOMMUD_MEMORY_NOT_POPULATED);
    }
    return {IOMMUD_ERROR_NONE, 0, huge_page};
}

// What the first hole of the range says: it lies in it, or is the end of a file that is too short.
MemoryVerdict explain_hole(BorrowedFd memory, std::uint64_t offset, std::uint64_t length) {
    struct stat status {};
    if (::fstat(memory.get(), &status) != 0 || status.st_size < 0) {
        return invalid(IOMMUD_MEMORY_NOT_MEMFD);
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    return offset > size || length > size - offset ? invalid_argument : invalid(IOMMUD_MEMORY_NOT_POPULATED);
}

}  // namespace

bool closes_at_once(BorrowedFd descriptor) {
    return ::fcntl(descriptor.get(), F_GET_SEALS) >= 0;
}

MemoryVerdict check_memory(BorrowedFd memory, std::uint64_t offset, std::uint64_t length, kernel::Access access) {
    if (!memory.valid()) {
        return invalid(IOMMUD_MEMORY_NO_DESCRIPTOR);
    }
    if (const MemoryVerdict verdict = check_seals(memory, access); verdict.error != IOMMUD_ERROR_NONE) {
        return verdict;
    }
    constexpr std::uint64_t longest = INT64_MAX;
    if (length == 0 || offset > longest || length > longest - offset || offset % page_size != 0 ||
        length % page_size != 0) {
        return invalid_argument;
    }
    // Not by st_blksize: that of a memfd is 2 MiB too where shmem uses huge pages.
    struct statfs file_system {};
    if (::fstatfs(memory.get(), &file_system) != 0) {
        return invalid(IOMMUD_MEMORY_NOT_MEMFD);
    }
    if (file_system.f_type == HUGETLBFS_MAGIC) {
        return check_hugetlb(memory, offset, length, static_cast<std::uint64_t>(file_system.f_bsize));
    }
    // A page that was allocated and never touched counts as a hole, and is one: it would be pinned uncleared, and lose
    // what the device wrote to it (hazard C3).
    const off_t hole = ::lseek(memory.get(), static_cast<off_t>(offset), SEEK_HOLE);
    if (hole < 0 || static_cast<std::uint64_t>(hole) < offset + length) {
        return explain_hole(memory, offset, length);
    }
    return {IOMMUD_ERROR_NONE, 0, page_size};
}

}  // namespace iommud::keeper
