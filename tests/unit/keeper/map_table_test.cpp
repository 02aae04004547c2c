#include "daemon/keeper/map_table.hpp"

#include <gtest/gtest.h>

#include <random>

#include "daemon/base/bytes.hpp"

namespace iommud::keeper {
namespace {

using kernel::IovaRange;
using kernel::Map;

// With its memory taken, which a lease does before each map.
MapTable table_of(std::uint32_t capacity) {
    MapTable full(capacity);
    for (std::uint32_t i = 0; i < capacity; ++i) {
        EXPECT_TRUE(full.make_room());
        full.insert({(i + 1) * page_size, 1, 0});
    }
    full.clear();
    return full;
}

const std::array<IovaRange, 2> usable{
    {{page_size, 0x100 * page_size - 1}, {0x200 * page_size, 0x100000 * page_size - 1}}};

TEST(MapTable, FindsAMapByWhereItStartsOnly) {
    MapTable table = table_of(4);
    table.insert({3 * page_size, 2, 0});

    EXPECT_NE(table.find(3 * page_size), nullptr);
    EXPECT_EQ(table.find(4 * page_size), nullptr);
    EXPECT_EQ(table.find(2 * page_size), nullptr);
}

TEST(MapTable, KnowsEveryOverlapAndNoOther) {
    MapTable table = table_of(4);
    table.insert({3 * page_size, 2, 0});

    const kernel::Map* const map = table.find(3 * page_size);
    EXPECT_EQ(table.overlapping(3 * page_size, page_size), map);
    EXPECT_EQ(table.overlapping(4 * page_size, page_size), map);
    EXPECT_EQ(table.overlapping(2 * page_size, 2 * page_size), map);
    EXPECT_EQ(table.overlapping(0, UINT64_MAX), map);
    EXPECT_EQ(table.overlapping(2 * page_size, page_size), nullptr);
    EXPECT_EQ(table.overlapping(5 * page_size, page_size), nullptr);
}

TEST(MapTable, IsFullAtItsCapacityAndCountsItsBytes) {
    MapTable table = table_of(2);
    table.insert({3 * page_size, 2, 0});
    EXPECT_FALSE(table.full());
    table.insert({page_size, 1, 0});

    EXPECT_TRUE(table.full());
    EXPECT_EQ(table.bytes(), 3 * page_size);
    table.erase(3 * page_size);
    EXPECT_EQ(table.bytes(), page_size);
}

TEST(MapTable, StaysInOrderWhateverTheOrderOfInsertionAndRemoval) {
    MapTable table = table_of(64);
    std::mt19937 random(1);
    std::vector<std::uint64_t> iovas(64);
    for (std::size_t i = 0; i < iovas.size(); ++i) {
        iovas[i] = (i + 1) * page_size;
    }
    std::shuffle(iovas.begin(), iovas.end(), random);
    for (const std::uint64_t iova : iovas) {
        table.insert({iova, 1, 0});
    }
    for (std::size_t i = 0; i < iovas.size() / 2; ++i) {
        table.erase(iovas[i]);
    }

    const auto maps = table.all();
    EXPECT_EQ(maps.size(), 32U);
    EXPECT_TRUE(std::is_sorted(maps.begin(), maps.end(), [](const Map& a, const Map& b) { return a.iova < b.iova; }));
    EXPECT_EQ(table.bytes(), 32 * page_size);
}

TEST(FindIova, TakesTheLowestPlaceThatFits) {
    const std::array<Map, 2> maps{{{page_size, 1, 0}, {3 * page_size, 1, 0}}};

    EXPECT_EQ(find_iova(maps, usable, page_size, page_size), 2 * page_size);
    EXPECT_EQ(find_iova(maps, usable, 2 * page_size, page_size), 4 * page_size);
}

TEST(FindIova, NeverChoosesZero) {
    const std::array<IovaRange, 1> from_zero{{{0, 16 * page_size - 1}}};

    EXPECT_EQ(find_iova({}, from_zero, page_size, page_size), page_size);
}

TEST(FindIova, GoesOnToTheNextRange) {
    EXPECT_EQ(find_iova({}, usable, 0x100 * page_size, page_size), 0x200 * page_size);
}

TEST(FindIova, AlignsLargeMapsToLargePages) {
    constexpr std::array<IovaRange, 1> from_two{{{2 * MiB, GiB - 1}}};
    const std::array<Map, 1> maps{{{2 * MiB, 1, 0}}};

    EXPECT_EQ(find_iova(maps, from_two, 2 * MiB, page_size), 4 * MiB);
}

TEST(FindIova, HonoursTheAlignmentOfTheIommu) {
    EXPECT_EQ(find_iova({}, usable, 16 * page_size, 16 * page_size), 16 * page_size);
}

TEST(FindIova, FindsNothingWhereNothingFits) {
    const std::array<IovaRange, 1> small{{{page_size, 3 * page_size - 1}}};
    const std::array<Map, 1> maps{{{page_size, 2, 0}}};

    EXPECT_EQ(find_iova({}, small, 3 * page_size, page_size), std::nullopt);
    EXPECT_EQ(find_iova(maps, small, page_size, page_size), std::nullopt);
    EXPECT_EQ(find_iova({}, {}, page_size, page_size), std::nullopt);
}

TEST(FindIova, DoesNotWrapAroundAtTheEndOfTheNumbers) {
    const std::array<IovaRange, 1> top{{{UINT64_MAX - 2 * page_size + 1, UINT64_MAX}}};
    const std::array<Map, 1> maps{{{UINT64_MAX - 2 * page_size + 1, 2, 0}}};

    EXPECT_EQ(find_iova({}, top, 2 * page_size, page_size), UINT64_MAX - 2 * page_size + 1);
    EXPECT_EQ(find_iova(maps, top, page_size, page_size), std::nullopt);
    EXPECT_EQ(find_iova({}, top, 2 * MiB, page_size), std::nullopt);
}

TEST(FindIova, WhatItFindsIsFreeAndUsable) {
    std::mt19937_64 random(7);
    MapTable table = table_of(512);
    for (int i = 0; i < 400; ++i) {
        const std::uint32_t pages = 1 + static_cast<std::uint32_t>(random() % 600);
        const auto iova = find_iova(table.all(), usable, pages * page_size, page_size);
        ASSERT_TRUE(iova.has_value());
        ASSERT_EQ(table.overlapping(*iova, pages * page_size), nullptr);
        ASSERT_TRUE(*iova + pages * page_size - 1 <= 0x100 * page_size - 1 || *iova >= 0x200 * page_size);
        table.insert({*iova, pages, 0});
        table.erase(table.all()[random() % table.size()].iova);
        table.insert({*find_iova(table.all(), usable, page_size, page_size), 1, 0});
    }
}

}  // namespace
}  // namespace iommud::keeper
