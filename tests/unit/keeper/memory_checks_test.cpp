// On real memfds and files (hazards C21, H4).
#include "daemon/keeper/memory_checks.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "daemon/base/bytes.hpp"
#include "daemon/keeper/lease_frames.hpp"

namespace iommud::keeper {
namespace {

UniqueFd empty_memory(std::uint64_t length, unsigned flags = 0) {
    UniqueFd memory(::memfd_create("dma", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
    EXPECT_TRUE(memory.valid());
    EXPECT_EQ(::ftruncate(memory.get(), static_cast<off_t>(length)), 0);
    return memory;
}

void expect_fault(const MemoryVerdict& verdict, iommud_memory_fault fault) {
    EXPECT_EQ(verdict.error, IOMMUD_ERROR_INVALID_MEMORY);
    EXPECT_EQ(verdict.value, static_cast<std::uint64_t>(fault));
}

TEST(MemoryChecks, AMemfdIsMemorySealedOrNotTouchedOrNot) {
    const UniqueFd memory = empty_memory(4 * page_size);
    EXPECT_EQ(check_memory(memory.borrow(), page_size, 2 * page_size).error, IOMMUD_ERROR_NONE);
    ASSERT_EQ(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);

    const MemoryVerdict verdict = check_memory(memory.borrow(), page_size, 2 * page_size);

    EXPECT_EQ(verdict.error, IOMMUD_ERROR_NONE);
    EXPECT_EQ(verdict.page_size, page_size);
}

TEST(MemoryChecks, NoDescriptorIsNoMemory) {
    expect_fault(check_memory(BorrowedFd(), 0, page_size), IOMMUD_MEMORY_NO_DESCRIPTOR);
}

TEST(MemoryChecks, OtherKindsOfDescriptorsAreNotMemory) {
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const UniqueFd folder(::open("/", O_PATH | O_CLOEXEC));

    expect_fault(check_memory(null.borrow(), 0, page_size), IOMMUD_MEMORY_NOT_MEMORY);
    expect_fault(check_memory(socket.borrow(), 0, page_size), IOMMUD_MEMORY_NOT_MEMORY);
    expect_fault(check_memory(folder.borrow(), 0, page_size), IOMMUD_MEMORY_NOT_MEMORY);
}

TEST(MemoryChecks, AFileOfTmpfsIsMemory) {
    std::string path = "/dev/shm/iommud-test-XXXXXX";
    const UniqueFd file(::mkostemp(path.data(), O_CLOEXEC));
    ASSERT_TRUE(file.valid());

    const MemoryVerdict verdict = check_memory(file.borrow(), 0, page_size);
    ::unlink(path.c_str());

    EXPECT_EQ(verdict.error, IOMMUD_ERROR_NONE);
}

TEST(MemoryChecks, RangesAreWholePages) {
    const UniqueFd memory = empty_memory(2 * page_size);
    const auto value = [fd = memory.borrow()](std::uint64_t offset, std::uint64_t length) {
        const MemoryVerdict verdict = check_memory(fd, offset, length);
        EXPECT_EQ(verdict.error, IOMMUD_ERROR_INVALID_ARGUMENT);
        return verdict.value;
    };
    const std::uint64_t offset = fault_value(IOMMUD_ARGUMENT_OFFSET, page_size);
    const std::uint64_t length = fault_value(IOMMUD_ARGUMENT_LENGTH, page_size);

    EXPECT_EQ(value(0, 0), length);
    EXPECT_EQ(value(1, page_size), offset);
    EXPECT_EQ(value(0, page_size - 1), length);
    EXPECT_EQ(value(UINT64_MAX - page_size + 1, page_size), offset);
    EXPECT_EQ(value(page_size, UINT64_MAX - page_size + 1), length);
    EXPECT_EQ(value(std::uint64_t{1} << 63, page_size), offset);
}

// These take no page, so they need no huge page set aside.
TEST(MemoryChecks, HugeMemoryIsMappedInWholeHugePages) {
    const UniqueFd memory = empty_memory(4 * MiB, MFD_HUGETLB);

    EXPECT_EQ(check_memory(memory.borrow(), 2 * MiB, 2 * MiB).page_size, 2 * MiB);
    EXPECT_EQ(check_memory(memory.borrow(), 0, page_size).value, fault_value(IOMMUD_ARGUMENT_LENGTH, 2 * MiB));
    EXPECT_EQ(check_memory(memory.borrow(), page_size, 2 * MiB).value, fault_value(IOMMUD_ARGUMENT_OFFSET, 2 * MiB));
}

TEST(MemoryChecks, HugeMemoryIsNotMadeLongerByMappingIt) {
    const UniqueFd memory = empty_memory(2 * MiB, MFD_HUGETLB);

    expect_fault(check_memory(memory.borrow(), 0, 4 * MiB), IOMMUD_MEMORY_NO_PAGES);
    expect_fault(check_memory(memory.borrow(), 4 * MiB, 2 * MiB), IOMMUD_MEMORY_NO_PAGES);
}

}  // namespace
}  // namespace iommud::keeper
