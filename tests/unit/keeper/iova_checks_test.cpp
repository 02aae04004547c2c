#include "daemon/keeper/iova_checks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "client/lib/include/iommud/lease_channel.h"
#include "daemon/base/bytes.hpp"

namespace iommud::keeper {
namespace {

// As a PC has it: 39 bits, less the window where interrupts are written.
constexpr std::uint64_t window = 0xfee00000;
constexpr std::uint64_t end = std::uint64_t{1} << 39;
const std::vector<kernel::IovaRange> of_a_pc{{0, window - 1}, {0xfef00000, end - 1}};

kernel::Geometry geometry(const std::vector<kernel::IovaRange>& ranges = of_a_pc, std::uint64_t alignment = page_size) {
    kernel::Geometry geometry;
    std::copy(ranges.begin(), ranges.end(), geometry.ranges.begin());
    geometry.range_count = static_cast<std::uint32_t>(ranges.size());
    geometry.alignment = alignment;
    return geometry;
}

class IovaChecks : public testing::Test {
  protected:
    // The fault, and the address that it is about.
    std::pair<unsigned, std::uint64_t> fault(std::uint64_t iova, std::uint64_t length,
                                             const kernel::Geometry& of = geometry()) {
        const std::uint64_t value = iova_fault(of, table_, iova, length).value_or(0);
        return {IOMMUD_FAULT(value), IOMMUD_FAULT_AT(value)};
    }
    using Fault = std::pair<unsigned, std::uint64_t>;
    static constexpr Fault none{0, 0};

    MapTable table_{4, kernel::Locking::unlocked};
};

TEST_F(IovaChecks, WhatLiesInAUsableRangeMayBeTried) {
    EXPECT_EQ(fault(0, page_size), none);
    EXPECT_EQ(fault(window - page_size, page_size), none);
    EXPECT_EQ(fault(end - page_size, page_size), none);
}

TEST_F(IovaChecks, WhatThePlatformKeepsIsReservedFromItsFirstPage) {
    EXPECT_EQ(fault(window, page_size), (Fault{IOMMUD_IOVA_RESERVED, window}));
    EXPECT_EQ(fault(window - page_size, 2 * page_size), (Fault{IOMMUD_IOVA_RESERVED, window}));
    EXPECT_EQ(fault(window + page_size, page_size), (Fault{IOMMUD_IOVA_RESERVED, window + page_size}));
    EXPECT_EQ(fault(0, page_size, geometry({{0x10000, 0xfffff}})), (Fault{IOMMUD_IOVA_RESERVED, 0}));
}

TEST_F(IovaChecks, WhatIsAboveTheLastRangeIsBeyond) {
    EXPECT_EQ(fault(end, page_size), (Fault{IOMMUD_IOVA_BEYOND, end}));
    EXPECT_EQ(fault(end - page_size, 2 * page_size), (Fault{IOMMUD_IOVA_BEYOND, end}));
    EXPECT_EQ(fault(UINT64_MAX - page_size + 1, 2 * page_size),
              (Fault{IOMMUD_IOVA_BEYOND, UINT64_MAX - page_size + 1}));
}

TEST_F(IovaChecks, ARangeThatWrapsAroundIsBeyondWhereNothingElseIsKnown) {
    EXPECT_EQ(fault(UINT64_MAX - page_size + 1, 2 * page_size, geometry({})), (Fault{IOMMUD_IOVA_BEYOND, 0}));
    EXPECT_EQ(fault(UINT64_MAX - page_size + 1, page_size, geometry({})), none);
}

TEST_F(IovaChecks, NothingIsSaidBeyondTheRangesThereIsRoomFor) {
    std::vector<kernel::IovaRange> many;
    for (std::uint64_t i = 0; i < kernel::Geometry::most_ranges; ++i) {
        many.push_back({i << 20, (i << 20) + page_size - 1});
    }
    EXPECT_EQ(fault(std::uint64_t{64} << 20, page_size, geometry(many)), none);
    EXPECT_EQ(fault(page_size, page_size, geometry(many)), (Fault{IOMMUD_IOVA_RESERVED, page_size}));
}

TEST_F(IovaChecks, TheAlignmentIsTheLargerOfThePageAndTheIommus) {
    EXPECT_EQ(fault(1, page_size), (Fault{IOMMUD_IOVA_MISALIGNED, page_size}));
    EXPECT_EQ(fault(page_size, 4 * page_size, geometry(of_a_pc, 4 * page_size)),
              (Fault{IOMMUD_IOVA_MISALIGNED, 4 * page_size}));
}

TEST_F(IovaChecks, TheLowestMapInTheWayIsNamed) {
    table_.insert({3 * page_size, 2, 0});
    table_.insert({8 * page_size, 1, 0});

    EXPECT_EQ(fault(2 * page_size, 16 * page_size), (Fault{IOMMUD_IOVA_IN_USE, 3 * page_size}));
    EXPECT_EQ(fault(4 * page_size, page_size), (Fault{IOMMUD_IOVA_IN_USE, 3 * page_size}));
    EXPECT_EQ(fault(5 * page_size, 4 * page_size), (Fault{IOMMUD_IOVA_IN_USE, 8 * page_size}));
    EXPECT_EQ(fault(5 * page_size, 3 * page_size), none);
}

}  // namespace
}  // namespace iommud::keeper
