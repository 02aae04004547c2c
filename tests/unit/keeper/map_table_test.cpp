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

constexpr std::array<IovaRange, 2> usable{{{0x1000, 0xfffff}, {0x200000, 0xffffffff}}};

TEST(MapTable, FindsAMapByWhereItStartsOnly) {
    MapTable table = table_of(4);
    table.insert({0x3000, 2, 0});

    EXPECT_NE(table.find(0x3000), nullptr);
    EXPECT_EQ(table.find(0x4000), nullptr);
    EXPECT_EQ(table.find(0x2000), nullptr);
}

TEST(MapTable, KnowsEveryOverlapAndNoOther) {
    MapTable table = table_of(4);
    table.insert({0x3000, 2, 0});

    EXPECT_TRUE(table.overlaps(0x3000, page_size));
    EXPECT_TRUE(table.overlaps(0x4000, page_size));
    EXPECT_TRUE(table.overlaps(0x2000, 2 * page_size));
    EXPECT_TRUE(table.overlaps(0, UINT64_MAX));
    EXPECT_FALSE(table.overlaps(0x2000, page_size));
    EXPECT_FALSE(table.overlaps(0x5000, page_size));
}

TEST(MapTable, IsFullAtItsCapacityAndCountsItsBytes) {
    MapTable table = table_of(2);
    table.insert({0x3000, 2, 0});
    EXPECT_FALSE(table.full());
    table.insert({0x1000, 1, 0});

    EXPECT_TRUE(table.full());
    EXPECT_EQ(table.bytes(), 3 * page_size);
    table.erase(0x3000);
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
    const std::array<Map, 2> maps{{{0x1000, 1, 0}, {0x3000, 1, 0}}};

    EXPECT_EQ(find_iova(maps, usable, page_size, page_size), 0x2000U);
    EXPECT_EQ(find_iova(maps, usable, 2 * page_size, page_size), 0x4000U);
}

TEST(FindIova, NeverChoosesZero) {
    constexpr std::array<IovaRange, 1> from_zero{{{0, 0xffff}}};

    EXPECT_EQ(find_iova({}, from_zero, page_size, page_size), 0x1000U);
}

TEST(FindIova, GoesOnToTheNextRange) {
    EXPECT_EQ(find_iova({}, usable, MiB, page_size), 0x200000U);
}

TEST(FindIova, AlignsLargeMapsToLargePages) {
    const std::array<Map, 1> maps{{{0x200000, 1, 0}}};

    EXPECT_EQ(find_iova(maps, usable, 2 * MiB, page_size), 0x400000U);
}

TEST(FindIova, HonoursTheAlignmentOfTheIommu) {
    EXPECT_EQ(find_iova({}, usable, 0x10000, 0x10000), 0x10000U);
}

TEST(FindIova, FindsNothingWhereNothingFits) {
    constexpr std::array<IovaRange, 1> small{{{0x1000, 0x2fff}}};
    const std::array<Map, 1> maps{{{0x1000, 2, 0}}};

    EXPECT_EQ(find_iova({}, small, 3 * page_size, page_size), std::nullopt);
    EXPECT_EQ(find_iova(maps, small, page_size, page_size), std::nullopt);
    EXPECT_EQ(find_iova({}, {}, page_size, page_size), std::nullopt);
}

TEST(FindIova, DoesNotWrapAroundAtTheEndOfTheNumbers) {
    constexpr std::array<IovaRange, 1> top{{{UINT64_MAX - 0x1fff, UINT64_MAX}}};
    const std::array<Map, 1> maps{{{UINT64_MAX - 0x1fff, 2, 0}}};

    EXPECT_EQ(find_iova({}, top, 2 * page_size, page_size), UINT64_MAX - 0x1fff);
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
        ASSERT_FALSE(table.overlaps(*iova, pages * page_size));
        ASSERT_TRUE(*iova + pages * page_size - 1 <= 0xfffff || *iova >= 0x200000);
        table.insert({*iova, pages, 0});
        table.erase(table.all()[random() % table.size()].iova);
        table.insert({*find_iova(table.all(), usable, page_size, page_size), 1, 0});
    }
}

}  // namespace
}  // namespace iommud::keeper
