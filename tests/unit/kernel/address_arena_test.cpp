#include "daemon/kernel/address_arena.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "daemon/base/bytes.hpp"

namespace iommud::kernel {
namespace {

UniqueFd memory_of(std::uint64_t length, char first) {
    UniqueFd memory(::memfd_create("arena", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(memory.get(), static_cast<off_t>(length)), 0);
    EXPECT_EQ(::pwrite(memory.get(), &first, 1, 0), 1);
    return memory;
}

MapRequest request_of(const UniqueFd& memory, std::uint64_t length) {
    return {memory.borrow(), 0, length, page_size, std::nullopt, {.read = true, .write = true}};
}

void* pointer(std::uint64_t address) {
    return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): the arena deals in addresses
}

// Whether the kernel can read the address: a write from there to a pipe is EFAULT where it cannot.
bool something_lies_at(std::uint64_t address) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const UniqueFd read_end(ends[0]);
    const UniqueFd write_end(ends[1]);
    return ::write(write_end.get(), pointer(address), 1) == 1;
}

class Arena : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(arena_.reserve(), 0); }
    AddressArena arena_;
};

TEST_F(Arena, MemoryLiesWhereItWasPut) {
    const UniqueFd memory = memory_of(page_size, 'x');
    std::uint32_t place = 0;

    ASSERT_EQ(arena_.put(request_of(memory, page_size), place), 0);

    EXPECT_NE(place, 0U);
    EXPECT_EQ(*static_cast<const char*>(pointer(arena_.address_of(place))), 'x');
}

TEST_F(Arena, NothingLiesThereAfterwards) {
    const UniqueFd memory = memory_of(page_size, 'x');
    std::uint32_t place = 0;
    ASSERT_EQ(arena_.put(request_of(memory, page_size), place), 0);

    arena_.retire(place, page_size);

    EXPECT_FALSE(something_lies_at(arena_.address_of(place)));
}

TEST_F(Arena, NoAddressIsUsedTwice) {
    // Hazard C1: the kernel pins again what lies at an address.
    const UniqueFd first = memory_of(page_size, '1');
    const UniqueFd second = memory_of(page_size, '2');
    std::uint32_t first_place = 0;
    std::uint32_t second_place = 0;
    ASSERT_EQ(arena_.put(request_of(first, page_size), first_place), 0);
    arena_.retire(first_place, page_size);

    ASSERT_EQ(arena_.put(request_of(second, page_size), second_place), 0);

    EXPECT_GT(second_place, first_place);
    EXPECT_FALSE(something_lies_at(arena_.address_of(first_place)));
}

TEST_F(Arena, NoOtherMappingOfTheProcessComesToLieThere) {
    const UniqueFd memory = memory_of(page_size, 'x');
    std::uint32_t place = 0;
    ASSERT_EQ(arena_.put(request_of(memory, page_size), place), 0);
    arena_.retire(place, page_size);

    void* const wish = pointer(arena_.address_of(place));
    void* const got = ::mmap(wish, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT_NE(got, wish);
    ::munmap(got, page_size);
}

TEST_F(Arena, MemoryThatCannotBeMappedUsesUpItsPlaceAndLeavesNothingThere) {
    const UniqueFd unmappable(::memfd_create("arena", MFD_CLOEXEC));
    const UniqueFd read_only(
        ::open(("/proc/self/fd/" + std::to_string(unmappable.get())).c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd good = memory_of(page_size, 'x');
    std::uint32_t place = 0;

    EXPECT_EQ(arena_.put(request_of(read_only, page_size), place), EACCES);
    EXPECT_EQ(place, 0U);
    ASSERT_EQ(arena_.put(request_of(good, page_size), place), 0);

    EXPECT_FALSE(something_lies_at(arena_.address_of(place) - page_size));
}

TEST_F(Arena, LargeMemoryIsAlignedForLargePages) {
    const UniqueFd small = memory_of(page_size, 's');
    const UniqueFd large = memory_of(2 * MiB, 'l');
    std::uint32_t place = 0;
    ASSERT_EQ(arena_.put(request_of(small, page_size), place), 0);

    ASSERT_EQ(arena_.put(request_of(large, 2 * MiB), place), 0);

    EXPECT_EQ(arena_.address_of(place) % (2 * MiB), 0U);
}

TEST_F(Arena, MoreThanTheArenaIsRefused) {
    const UniqueFd memory = memory_of(page_size, 'x');
    std::uint32_t place = 0;

    EXPECT_EQ(arena_.put(request_of(memory, AddressArena::size), place), ENOMEM);
}

}  // namespace
}  // namespace iommud::kernel
