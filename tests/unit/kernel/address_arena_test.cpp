#include "daemon/kernel/address_arena.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

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
    std::uint32_t put(const UniqueFd& memory, std::uint64_t length) {
        std::uint32_t place = 0;
        EXPECT_EQ(arena_.put(request_of(memory, length), place), 0);
        return place;
    }
    AddressArena arena_{16};
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

TEST_F(Arena, APlaceIsUsedAgainOnceItIsFreeAndNotBefore) {
    // Hazard C1: the kernel pins again what lies at an address.
    const UniqueFd memory = memory_of(4 * page_size, 'x');
    const std::uint32_t first = put(memory, page_size);
    const std::uint32_t second = put(memory, 2 * page_size);
    const std::uint32_t third = put(memory, page_size);
    EXPECT_EQ(second, first + 1);
    EXPECT_EQ(third, second + 2);

    arena_.retire(second, 2 * page_size);

    EXPECT_EQ(put(memory, 3 * page_size), third + 1) << "three pages do not fit where two were";
    EXPECT_EQ(put(memory, page_size), second);
    EXPECT_EQ(put(memory, page_size), second + 1);
    EXPECT_EQ(put(memory, page_size), third + 4);
}

TEST_F(Arena, WhatLiesAtALivePlaceStaysWhateverIsPutAndTakenAway) {
    std::mt19937 random(1);
    struct Live {
        std::uint32_t place;
        std::uint64_t pages;
        char content;
    };
    std::vector<Live> live;
    for (int step = 0; step < 2000; ++step) {
        if (live.size() == 16 || (!live.empty() && random() % 2 == 0)) {
            const std::size_t which = random() % live.size();
            arena_.retire(live[which].place, live[which].pages * page_size);
            live.erase(live.begin() + static_cast<std::ptrdiff_t>(which));
        } else {
            const std::uint64_t pages = 1 + random() % 8;
            const auto content = static_cast<char>('a' + random() % 26);
            const UniqueFd memory = memory_of(pages * page_size, content);
            live.push_back({put(memory, pages * page_size), pages, content});
        }
        for (const Live& one : live) {
            ASSERT_EQ(*static_cast<const char*>(pointer(arena_.address_of(one.place))), one.content);
        }
    }
}

TEST_F(Arena, MorePlacesThanItIsForAreRefused) {
    const UniqueFd memory = memory_of(page_size, 'x');
    for (int i = 0; i < 16; ++i) {
        put(memory, page_size);
    }
    std::uint32_t place = 0;

    EXPECT_EQ(arena_.put(request_of(memory, page_size), place), ENOMEM);
}

TEST_F(Arena, PagesBeyondTheEndOfAFileAreRefusedWithoutASignal) {
    const UniqueFd memory = memory_of(page_size, 'x');
    std::uint32_t place = 0;

    EXPECT_EQ(arena_.put(request_of(memory, 2 * page_size), place), EFAULT);
    EXPECT_EQ(place, 0U);
}

TEST_F(Arena, PagesThatWereOnlyAllocatedAreThereAfterwards) {
    const UniqueFd memory(::memfd_create("arena", MFD_CLOEXEC));
    ASSERT_EQ(::fallocate(memory.get(), 0, 0, 16 * page_size), 0);
    const std::uint32_t place = put(memory, 16 * page_size);
    std::vector<unsigned char> there(16 * page_size / static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));

    ASSERT_EQ(::mincore(pointer(arena_.address_of(place)), 16 * page_size, there.data()), 0);

    EXPECT_TRUE(std::all_of(there.begin(), there.end(), [](unsigned char one) { return (one & 1) != 0; }));
}

// Bytes, of a line of /proc/self/status.
std::uint64_t status_of(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(name + ":")) {
            return std::stoull(line.substr(name.size() + 1)) * 1024;
        }
    }
    ADD_FAILURE() << "no " << name;
    return 0;
}

// Maps of changing lengths come and go, up to 16 at a time; nothing may be left of those that went.
void come_and_go(AddressArena& arena, std::uint64_t pairs) {
    const UniqueFd memory = memory_of(8 * page_size, 'x');
    std::array<std::pair<std::uint32_t, std::uint64_t>, 16> live{};
    const auto turn = [&](std::uint64_t i) {
        auto& [place, length] = live[i % live.size()];
        arena.retire(place, length);
        length = (1 + i % 8) * page_size;
        return arena.put(request_of(memory, length), place) == 0;
    };
    std::uint64_t tables = 0;
    std::uint64_t data = 0;
    for (std::uint64_t i = 0; i < pairs; ++i) {
        ASSERT_TRUE(turn(i)) << "after " << i;
        if (i == 1000) {
            tables = status_of("VmPTE");
            data = status_of("VmData");
        }
    }
    EXPECT_LE(status_of("VmPTE"), tables);
    EXPECT_LE(status_of("VmData"), data + MiB);
    EXPECT_LT(std::max_element(live.begin(), live.end())->first, 16U * 8 * 2) << "places are used again";
}

TEST_F(Arena, MapsThatComeAndGoTakeNoMemoryForGood) {
    come_and_go(arena_, 50'000);
}

TEST_F(Arena, DISABLED_TenMillionPairs) {  // ./check soak
    come_and_go(arena_, 10'000'000);
}

class Seals : public testing::TestWithParam<int> {};

// Hazard C2: the kernel looks at them when it maps.
TEST_P(Seals, AWriteSealHoldsForTheDeviceToo) {
    AddressArena arena(1);
    ASSERT_EQ(arena.reserve(), 0);
    const UniqueFd memory(::memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::ftruncate(memory.get(), page_size), 0);
    ASSERT_EQ(::fcntl(memory.get(), F_ADD_SEALS, GetParam()), 0);
    std::uint32_t place = 0;

    EXPECT_EQ(arena.put(request_of(memory, page_size), place), EPERM);
}
INSTANTIATE_TEST_SUITE_P(Both, Seals, testing::Values(F_SEAL_WRITE, F_SEAL_FUTURE_WRITE));

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

TEST_F(Arena, MemoryThatCannotBeMappedLeavesNothingThere) {
    const UniqueFd unmappable(::memfd_create("arena", MFD_CLOEXEC));
    const UniqueFd read_only(
        ::open(("/proc/self/fd/" + std::to_string(unmappable.get())).c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd good = memory_of(page_size, 'x');
    std::uint32_t place = 0;

    EXPECT_EQ(arena_.put(request_of(read_only, page_size), place), EACCES);
    EXPECT_EQ(place, 0U);
    EXPECT_FALSE(something_lies_at(arena_.address_of(1)));

    EXPECT_EQ(put(good, page_size), 1U);
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
