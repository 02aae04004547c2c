#include "daemon/keeper/memory_checks.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>

#include "daemon/base/bytes.hpp"
#include "daemon/keeper/lease_frames.hpp"

namespace iommud::keeper {
namespace {

MemoryVerdict invalid(iommud_memory_fault fault) {
    return {IOMMUD_ERROR_INVALID_MEMORY, fault, 0};
}

MemoryVerdict invalid_argument(iommud_argument_fault fault, std::uint64_t memory_page) {
    return {IOMMUD_ERROR_INVALID_ARGUMENT, fault_value(fault, memory_page), 0};
}

// Memory of huge pages is mapped in whole ones. And an mmap for writing makes such a file longer, sealed or not
// (hugetlbfs_file_mmap), so that its end is asked for: fstat takes no lock there, as it may on tmpfs.
MemoryVerdict check_hugetlb(BorrowedFd memory, std::uint64_t offset, std::uint64_t length, std::uint64_t huge_page) {
    struct stat status {};
    if (::fstat(memory.get(), &status) != 0 || status.st_size < 0 || huge_page == 0) {
        return invalid(IOMMUD_MEMORY_NOT_MEMORY);
    }
    if (offset % huge_page != 0) {
        return invalid_argument(IOMMUD_ARGUMENT_OFFSET, huge_page);
    }
    if (length % huge_page != 0) {
        return invalid_argument(IOMMUD_ARGUMENT_LENGTH, huge_page);
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (offset > size || length > size - offset) {
        return invalid(IOMMUD_MEMORY_NO_PAGES);
    }
    return {IOMMUD_ERROR_NONE, 0, huge_page};
}

}  // namespace

bool closes_at_once(BorrowedFd descriptor) {
    return ::fcntl(descriptor.get(), F_GET_SEALS) >= 0;
}

MemoryVerdict check_memory(BorrowedFd memory, std::uint64_t offset, std::uint64_t length) {
    if (!memory.valid()) {
        return invalid(IOMMUD_MEMORY_NO_DESCRIPTOR);
    }
    // First: only memfds and files of tmpfs and hugetlbfs answer it, and every other kind of file is refused without
    // asking that file's file system. A FUSE server could make us wait for ever (hazard H4).
    if (::fcntl(memory.get(), F_GET_SEALS) < 0) {
        return invalid(IOMMUD_MEMORY_NOT_MEMORY);
    }
    constexpr std::uint64_t longest = INT64_MAX;
    if (length == 0 || length > longest || length % page_size != 0) {
        return invalid_argument(IOMMUD_ARGUMENT_LENGTH, page_size);
    }
    if (offset > longest - length || offset % page_size != 0) {
        return invalid_argument(IOMMUD_ARGUMENT_OFFSET, page_size);
    }
    // Not by st_blksize: that of a memfd is 2 MiB too where shmem uses huge pages.
    struct statfs file_system {};
    if (::fstatfs(memory.get(), &file_system) != 0) {
        return invalid(IOMMUD_MEMORY_NOT_MEMORY);
    }
    if (file_system.f_type == HUGETLBFS_MAGIC) {
        return check_hugetlb(memory, offset, length, static_cast<std::uint64_t>(file_system.f_bsize));
    }
    return {IOMMUD_ERROR_NONE, 0, page_size};
}

}  // namespace iommud::keeper
