#include "client/lib/dma_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <utility>

#include "daemon/base/bytes.hpp"

namespace iommud::lib {
namespace {

struct Pages {
    unsigned memfd_flags;
    std::size_t size;
};

Outcome<Pages> pages_for(std::uint32_t flags) {
    switch (flags) {
        case 0:
            return Pages{0, static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))};
        case IOMMUD_MEMORY_HUGE_2M:
            return Pages{MFD_HUGETLB | MFD_HUGE_2MB, 2 * MiB};
        case IOMMUD_MEMORY_HUGE_1G:
            return Pages{MFD_HUGETLB | MFD_HUGE_1GB, GiB};
        default:  // flags of a C ABI, not an enumeration
            return failed(IOMMUD_ERROR_INVALID_ARGUMENT, fmt::format("DMA memory: flags {:#x} are not known", flags));
    }
}

// Every page is written to by this process, so that its own memory cgroup pays. What was not touched the keeper would
// fault in, on the account's.
int populate(std::byte* address, std::size_t length, std::size_t page) {
    if (::madvise(address, length, MADV_POPULATE_WRITE) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return errno;
    }
    for (std::size_t at = 0; at < length; at += page) {  // kernels before 5.14
        static_cast<volatile std::byte*>(address)[at] = std::byte{0};
    }
    return 0;
}

}  // namespace

Outcome<DmaMemory> DmaMemory::create(std::size_t length, std::uint32_t flags) {
    const auto pages = pages_for(flags);
    if (!pages) {
        return tl::unexpected(pages.error());
    }
    if (length == 0 || length > std::numeric_limits<off_t>::max() - pages->size) {
        return failed(IOMMUD_ERROR_INVALID_ARGUMENT, fmt::format("DMA memory of {} bytes", length));
    }
    length = (length + pages->size - 1) / pages->size * pages->size;
    const std::string what = fmt::format("DMA memory of {}", format_bytes(length));
    UniqueFd memfd(::memfd_create("iommud-dma", MFD_CLOEXEC | MFD_ALLOW_SEALING | pages->memfd_flags));
    if (!memfd.valid() || ::ftruncate(memfd.get(), static_cast<off_t>(length)) < 0 ||
        ::fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        return system_failed(what, errno);
    }
    void* address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 0);
    if (address == MAP_FAILED) {
        return system_failed(what, errno);
    }
    DmaMemory memory(std::move(memfd), static_cast<std::byte*>(address), length);
    if (const int error = populate(memory.address(), length, pages->size); error != 0) {
        return system_failed(what, error);
    }
    return memory;
}

DmaMemory::DmaMemory(DmaMemory&& other) noexcept
    : memfd_(std::move(other.memfd_)), address_(std::exchange(other.address_, nullptr)), length_(other.length_) {}

DmaMemory::~DmaMemory() {
    if (address_ != nullptr) {
        ::munmap(address_, length_);
    }
}

}  // namespace iommud::lib
