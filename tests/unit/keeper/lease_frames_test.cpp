#include "daemon/keeper/lease_frames.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace iommud::keeper {
namespace {

std::vector<std::byte> bytes_of(const iommud_request& request) {
    std::vector<std::byte> bytes(sizeof request);
    std::memcpy(bytes.data(), &request, sizeof request);
    return bytes;
}

TEST(LeaseFrames, ARequestIsReadAsItWasWritten) {
    const auto request = parse_request(bytes_of({IOMMUD_MAP, IOMMUD_MAP_READ, 17, 0x1000, 0x2000, 0x3000}));

    ASSERT_TRUE(request.has_value());
    EXPECT_EQ(request->op, IOMMUD_MAP);
    EXPECT_EQ(request->cookie, 17U);
    EXPECT_EQ(request->offset, 0x1000U);
    EXPECT_EQ(request->length, 0x2000U);
    EXPECT_EQ(request->iova, 0x3000U);
}

TEST(LeaseFrames, EveryOtherSizeIsRubbish) {
    std::vector<std::byte> bytes = bytes_of({IOMMUD_QUERY, 0, 1, 0, 0, 0});
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(parse_request(std::span(bytes).first(size)).has_value()) << size;
    }
    bytes.push_back(std::byte{0});

    EXPECT_FALSE(parse_request(bytes).has_value());
}

TEST(LeaseFrames, AnUnknownOperationIsRubbish) {
    EXPECT_FALSE(parse_request(bytes_of({0, 0, 1, 0, 0, 0})).has_value());
    EXPECT_FALSE(parse_request(bytes_of({IOMMUD_RELEASE + 1, 0, 1, 0, 0, 0})).has_value());
    EXPECT_FALSE(parse_request(bytes_of({UINT32_MAX, 0, 1, 0, 0, 0})).has_value());
}

TEST(LeaseFrames, AMapSaysWhatTheDeviceMayDo) {
    EXPECT_TRUE(well_formed({IOMMUD_MAP, IOMMUD_MAP_READ, 1, 0, 4096, 0}, true));
    EXPECT_TRUE(well_formed({IOMMUD_MAP, IOMMUD_MAP_WRITE | IOMMUD_MAP_FIXED, 1, 0, 4096, 4096}, true));
    EXPECT_FALSE(well_formed({IOMMUD_MAP, 0, 1, 0, 4096, 0}, true));
    EXPECT_FALSE(well_formed({IOMMUD_MAP, IOMMUD_MAP_FIXED, 1, 0, 4096, 0}, true));
}

TEST(LeaseFrames, AnIovaWithoutFixedIsAMistakeAndNotAHint) {
    EXPECT_FALSE(well_formed({IOMMUD_MAP, IOMMUD_MAP_READ, 1, 0, 4096, 4096}, true));
}

TEST(LeaseFrames, FlagsOfOtherOperationsAreMistakes) {
    EXPECT_FALSE(well_formed({IOMMUD_MAP, IOMMUD_MAP_READ | IOMMUD_UNMAP_ALL, 1, 0, 4096, 0}, true));
    EXPECT_FALSE(well_formed({IOMMUD_UNMAP, IOMMUD_MAP_FIXED, 1, 0, 0, 4096}, false));
    EXPECT_FALSE(well_formed({IOMMUD_QUERY, IOMMUD_MAP_READ, 1, 0, 0, 0}, false));
    EXPECT_FALSE(well_formed({IOMMUD_MAP, IOMMUD_MAP_READ | 0x80000000, 1, 0, 4096, 0}, true));
}

TEST(LeaseFrames, UnmapAllTakesNoRange) {
    EXPECT_TRUE(well_formed({IOMMUD_UNMAP, IOMMUD_UNMAP_ALL, 1, 0, 0, 0}, false));
    EXPECT_FALSE(well_formed({IOMMUD_UNMAP, IOMMUD_UNMAP_ALL, 1, 0, 4096, 0}, false));
    EXPECT_FALSE(well_formed({IOMMUD_UNMAP, IOMMUD_UNMAP_ALL, 1, 0, 0, 4096}, false));
}

TEST(LeaseFrames, OnlyAMapTakesADescriptor) {
    EXPECT_FALSE(well_formed({IOMMUD_UNMAP, 0, 1, 0, 0, 4096}, true));
    EXPECT_FALSE(well_formed({IOMMUD_QUERY, 0, 1, 0, 0, 0}, true));
    EXPECT_FALSE(well_formed({IOMMUD_DUP, 0, 1, 0, 0, 0}, true));
    EXPECT_FALSE(well_formed({IOMMUD_RELEASE, 0, 1, 0, 0, 0}, true));
}

}  // namespace
}  // namespace iommud::keeper
