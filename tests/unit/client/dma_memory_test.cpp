#include "client/lib/dma_memory.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <limits>

namespace iommud::lib {
namespace {

TEST(DmaMemory, IsSealedAgainstChangesOfItsSize) {
    const auto memory = DmaMemory::create(3 * 4096, 0);

    ASSERT_TRUE(memory);
    EXPECT_EQ(::fcntl(memory->fd().get(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
    EXPECT_EQ(::fcntl(memory->fd().get(), F_GETFD), FD_CLOEXEC);
}

TEST(DmaMemory, HasEveryPageTouched) {
    const auto memory = DmaMemory::create(64 * 4096, 0);

    ASSERT_TRUE(memory);
    EXPECT_EQ(::lseek(memory->fd().get(), 0, SEEK_HOLE), 64 * 4096);
}

TEST(DmaMemory, IsRoundedUpToWholePages) {
    const auto memory = DmaMemory::create(4097, 0);

    ASSERT_TRUE(memory);
    EXPECT_EQ(memory->length(), 8192U);
    memory->address()[8191] = std::byte{1};
}

TEST(DmaMemory, OfNoLengthOrAnImpossibleOneIsRefused) {
    EXPECT_EQ(DmaMemory::create(0, 0).error().code, IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(DmaMemory::create(std::numeric_limits<std::size_t>::max(), 0).error().code,
              IOMMUD_ERROR_INVALID_ARGUMENT);
}

TEST(DmaMemory, OfUnknownFlagsIsRefused) {
    EXPECT_EQ(DmaMemory::create(4096, 8).error().code, IOMMUD_ERROR_INVALID_ARGUMENT);
}

TEST(DmaMemory, ThatTheSystemDoesNotHaveIsAFailureAndNotASignal) {
    const auto memory = DmaMemory::create(std::size_t{1} << 45, IOMMUD_MEMORY_HUGE_2M);

    ASSERT_FALSE(memory);
    EXPECT_EQ(memory.error().code, IOMMUD_ERROR_SYSTEM);
    EXPECT_NE(memory.error().error_number, 0);
}

}  // namespace
}  // namespace iommud::lib
