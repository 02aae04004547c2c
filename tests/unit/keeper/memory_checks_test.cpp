// On real memfds (hazards C2, C3, H4).
#include "daemon/keeper/memory_checks.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "daemon/base/bytes.hpp"

namespace iommud::keeper {
namespace {

constexpr kernel::Access read_only{.read = true, .write = false};
constexpr kernel::Access read_write{.read = true, .write = true};

UniqueFd empty_memory(std::uint64_t length, unsigned flags = 0) {
    UniqueFd memory(::memfd_create("dma", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
    EXPECT_TRUE(memory.valid());
    EXPECT_EQ(::ftruncate(memory.get(), static_cast<off_t>(length)), 0);
    return memory;
}

void touch(const UniqueFd& memory, std::uint64_t offset, std::uint64_t length) {
    void* const bytes =
        ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), static_cast<off_t>(offset));
    ASSERT_NE(bytes, MAP_FAILED);
    std::memset(bytes, 1, length);
    ::munmap(bytes, length);
}

void seal(const UniqueFd& memory, int seals = F_SEAL_SHRINK) {
    ASSERT_EQ(::fcntl(memory.get(), F_ADD_SEALS, seals), 0);
}

UniqueFd good_memory(std::uint64_t length) {
    UniqueFd memory = empty_memory(length);
    touch(memory, 0, length);
    seal(memory);
    return memory;
}

UniqueFd reopened(const UniqueFd& memory, int mode) {
    return UniqueFd(::open(("/proc/self/fd/" + std::to_string(memory.get())).c_str(), mode | O_CLOEXEC));
}

void expect_fault(const MemoryVerdict& verdict, iommud_memory_fault fault) {
    EXPECT_EQ(verdict.error, IOMMUD_ERROR_INVALID_MEMORY);
    EXPECT_EQ(verdict.value, static_cast<std::uint64_t>(fault));
}

TEST(MemoryChecks, TouchedAndSealedMemoryIsGood) {
    const UniqueFd memory = good_memory(4 * page_size);

    const MemoryVerdict verdict = check_memory(memory.borrow(), page_size, 2 * page_size, read_write);

    EXPECT_EQ(verdict.error, IOMMUD_ERROR_NONE);
    EXPECT_EQ(verdict.page_size, page_size);
}

TEST(MemoryChecks, NoDescriptorIsNoMemory) {
    expect_fault(check_memory(BorrowedFd(), 0, page_size, read_only), IOMMUD_MEMORY_NO_DESCRIPTOR);
}

TEST(MemoryChecks, OtherKindsOfDescriptorsAreNotMemory) {
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const UniqueFd folder(::open("/", O_PATH | O_CLOEXEC));

    expect_fault(check_memory(null.borrow(), 0, page_size, read_only), IOMMUD_MEMORY_NOT_MEMFD);
    expect_fault(check_memory(socket.borrow(), 0, page_size, read_only), IOMMUD_MEMORY_NOT_MEMFD);
    expect_fault(check_memory(folder.borrow(), 0, page_size, read_only), IOMMUD_MEMORY_NOT_MEMFD);
}

TEST(MemoryChecks, AFileOfTmpfsIsNotMemory) {
    // It answers F_GET_SEALS as a memfd does, and can never be sealed.
    std::string path = "/dev/shm/iommud-test-XXXXXX";
    const UniqueFd file(::mkostemp(path.data(), O_CLOEXEC));
    ASSERT_TRUE(file.valid());

    const MemoryVerdict verdict = check_memory(file.borrow(), 0, page_size, read_only);
    ::unlink(path.c_str());

    expect_fault(verdict, IOMMUD_MEMORY_NOT_MEMFD);
}

TEST(MemoryChecks, UnsealedMemoryCouldShrinkUnderTheDevice) {
    const UniqueFd memory = empty_memory(page_size);
    touch(memory, 0, page_size);
    seal(memory, F_SEAL_GROW);

    expect_fault(check_memory(memory.borrow(), 0, page_size, read_only), IOMMUD_MEMORY_NOT_SEALED);
}

TEST(MemoryChecks, AReadOnlyDescriptorGivesNoWrites) {
    const UniqueFd memory = good_memory(page_size);
    const UniqueFd view = reopened(memory, O_RDONLY);

    expect_fault(check_memory(view.borrow(), 0, page_size, read_write), IOMMUD_MEMORY_NOT_WRITABLE);
    EXPECT_EQ(check_memory(view.borrow(), 0, page_size, read_only).error, IOMMUD_ERROR_NONE);
}

TEST(MemoryChecks, AWriteOnlyDescriptorGivesNoReads) {
    const UniqueFd memory = good_memory(page_size);
    const UniqueFd view = reopened(memory, O_WRONLY);

    expect_fault(check_memory(view.borrow(), 0, page_size, read_only), IOMMUD_MEMORY_NOT_WRITABLE);
}

class WriteSeals : public testing::TestWithParam<int> {};

TEST_P(WriteSeals, AWriteSealHoldsForTheDeviceToo) {
    const UniqueFd memory = good_memory(page_size);
    seal(memory, GetParam());

    expect_fault(check_memory(memory.borrow(), 0, page_size, read_write), IOMMUD_MEMORY_NOT_WRITABLE);
    EXPECT_EQ(check_memory(memory.borrow(), 0, page_size, read_only).error, IOMMUD_ERROR_NONE);
}
INSTANTIATE_TEST_SUITE_P(Both, WriteSeals, testing::Values(F_SEAL_WRITE, F_SEAL_FUTURE_WRITE));

TEST(MemoryChecks, RangesAreWholePagesInsideTheFile) {
    const UniqueFd memory = good_memory(2 * page_size);
    const auto error = [fd = memory.borrow()](std::uint64_t offset, std::uint64_t length) {
        return check_memory(fd, offset, length, read_only).error;
    };

    EXPECT_EQ(error(0, 0), IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(error(1, page_size), IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(error(0, page_size - 1), IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(error(0, 3 * page_size), IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(error(2 * page_size, page_size), IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(error(UINT64_MAX - page_size + 1, page_size), IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(error(page_size, UINT64_MAX - page_size + 1), IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(error(std::uint64_t{1} << 63, page_size), IOMMUD_ERROR_INVALID_ARGUMENT);
}

TEST(MemoryChecks, MemoryThatWasOnlyAllocatedIsNotThere) {
    const UniqueFd memory = empty_memory(page_size);
    ASSERT_EQ(::fallocate(memory.get(), 0, 0, static_cast<off_t>(page_size)), 0);
    seal(memory);

    expect_fault(check_memory(memory.borrow(), 0, page_size, read_only), IOMMUD_MEMORY_NOT_POPULATED);
}

TEST(MemoryChecks, AHoleInTheRangeIsFoundAndOneOutsideIsNot) {
    const UniqueFd memory = empty_memory(4 * page_size);
    touch(memory, 0, 2 * page_size);
    touch(memory, 3 * page_size, page_size);
    seal(memory);

    expect_fault(check_memory(memory.borrow(), 0, 4 * page_size, read_only), IOMMUD_MEMORY_NOT_POPULATED);
    expect_fault(check_memory(memory.borrow(), 2 * page_size, page_size, read_only), IOMMUD_MEMORY_NOT_POPULATED);
    EXPECT_EQ(check_memory(memory.borrow(), 0, 2 * page_size, read_only).error, IOMMUD_ERROR_NONE);
    EXPECT_EQ(check_memory(memory.borrow(), 3 * page_size, page_size, read_only).error, IOMMUD_ERROR_NONE);
}

TEST(MemoryChecks, AHoleThatWasPunchedLaterIsFound) {
    const UniqueFd memory = good_memory(4 * page_size);  // F_SEAL_SHRINK allows punching
    ASSERT_EQ(::fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(page_size),
                          static_cast<off_t>(page_size)),
              0);

    expect_fault(check_memory(memory.borrow(), 0, 4 * page_size, read_only), IOMMUD_MEMORY_NOT_POPULATED);
}

// Needs huge pages set aside (vm.nr_hugepages); without them nothing can be said here about memory that is there.
class HugeMemory : public testing::Test {
  protected:
    void SetUp() override {
        void* const bytes = ::mmap(nullptr, huge_page, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
        if (bytes == MAP_FAILED) {
            GTEST_SKIP() << "this machine has no free huge page of 2 MiB";
        }
        std::memset(bytes, 1, huge_page);
        ::munmap(bytes, huge_page);
        seal(memory_);
    }
    static constexpr std::uint64_t huge_page = 2 * MiB;
    const UniqueFd memory_ = empty_memory(huge_page, MFD_HUGETLB);
};

TEST_F(HugeMemory, IsGoodWhenAllOfItIsThere) {
    const MemoryVerdict verdict = check_memory(memory_.borrow(), 0, huge_page, read_write);

    EXPECT_EQ(verdict.error, IOMMUD_ERROR_NONE);
    EXPECT_EQ(verdict.page_size, huge_page);
}

TEST_F(HugeMemory, IsMappedInWholeHugePages) {
    EXPECT_EQ(check_memory(memory_.borrow(), 0, page_size, read_write).error, IOMMUD_ERROR_INVALID_ARGUMENT);
}

TEST(MemoryChecks, HugeMemoryThatWasNeverTouchedIsNotThere) {
    const UniqueFd memory = empty_memory(2 * MiB, MFD_HUGETLB);  // takes no page yet, so this needs none
    seal(memory);

    expect_fault(check_memory(memory.borrow(), 0, 2 * MiB, read_only), IOMMUD_MEMORY_NOT_POPULATED);
}

}  // namespace
}  // namespace iommud::keeper
