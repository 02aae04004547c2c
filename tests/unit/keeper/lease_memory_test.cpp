// What Map and Unmap answer, on a kernel that does as it is told.
#include "daemon/keeper/lease_memory.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "daemon/base/bytes.hpp"
#include "tests/unit/keeper/fake_context.hpp"

namespace iommud::keeper {
namespace {

const std::uint64_t reserve = 8 * page_size;

class MemoryOfALease : public testing::Test {
  protected:
    void SetUp() override {
        const std::string bytes(16 * page_size, 'x');
        ASSERT_EQ(::write(file_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
        ASSERT_EQ(::fcntl(file_.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
        kernel::Geometry geometry;
        geometry.ranges[0] = {page_size, 0x1000 * page_size - 1};
        geometry.range_count = 1;
        geometry.alignment = page_size;
        memory_.set_geometry(geometry);
    }
    iommud_reply map(std::uint64_t pages) {
        return memory_.map({IOMMUD_MAP, IOMMUD_MAP_READ, 1, 0, pages * page_size, 0}, file_.borrow());
    }
    iommud_reply map_at(std::uint64_t iova, std::uint64_t pages) {
        return memory_.map({IOMMUD_MAP, IOMMUD_MAP_READ | IOMMUD_MAP_FIXED, 1, 0, pages * page_size, iova},
                           file_.borrow());
    }
    iommud_reply unmap(std::uint64_t iova, std::uint64_t length) {
        return memory_.unmap({IOMMUD_UNMAP, 0, 2, 0, length, iova});
    }

    const UniqueFd file_{::memfd_create("dma", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    FakeContext context_;
    LeaseMemory memory_{context_, reserve, MapTable(3)};
};

TEST_F(MemoryOfALease, AnIovaIsChosenWhereTheKernelDoesNot) {
    EXPECT_EQ(map(1).value, page_size);
    EXPECT_EQ(map(1).value, 2 * page_size);
}

TEST_F(MemoryOfALease, TheKernelsOwnChoiceIsTaken) {
    context_.places_maps = true;

    EXPECT_EQ(map(1).value, 0x5000U);
    EXPECT_FALSE(context_.requests.at(0).iova.has_value());
}

TEST_F(MemoryOfALease, MappingIsCountedToThePage) {
    EXPECT_EQ(map(8).error, IOMMUD_ERROR_NONE);
    EXPECT_EQ(memory_.mapped(), reserve);

    const iommud_reply above = map(1);

    EXPECT_EQ(above.error, IOMMUD_ERROR_MEMORY_LIMIT);
    EXPECT_EQ(above.value, 0U);
}

TEST_F(MemoryOfALease, ALengthThatWouldOverflowIsAboveTheLimit) {
    const iommud_reply reply = memory_.map({IOMMUD_MAP, IOMMUD_MAP_READ, 1, 0, UINT64_MAX, 0}, file_.borrow());

    EXPECT_EQ(reply.error, IOMMUD_ERROR_MEMORY_LIMIT);
    EXPECT_TRUE(context_.requests.empty());
}

TEST_F(MemoryOfALease, TheAccountsLimitInTheKernelIsAMemoryLimitToo) {
    context_.map_errors = {ENOMEM};

    const iommud_reply reply = map(1);

    EXPECT_EQ(reply.error, IOMMUD_ERROR_MEMORY_LIMIT);
    EXPECT_EQ(reply.value, reserve);
    EXPECT_EQ(memory_.mapped(), 0U);
}

TEST_F(MemoryOfALease, OtherRefusalsOfTheKernelAreGivenByNumber) {
    context_.map_errors = {EIO};

    const iommud_reply reply = map(1);

    EXPECT_EQ(reply.error, IOMMUD_ERROR_KERNEL);
    EXPECT_EQ(reply.value, static_cast<std::uint64_t>(EIO));
    EXPECT_EQ(memory_.maps(), 0U);
}

TEST_F(MemoryOfALease, WhatTheKernelSaysOfTheMemoryIsSaidAsSuch) {
    context_.map_errors = {EACCES, EPERM, EFAULT};

    for (const auto fault : {IOMMUD_MEMORY_NOT_WRITABLE, IOMMUD_MEMORY_NOT_WRITABLE, IOMMUD_MEMORY_NO_PAGES}) {
        const iommud_reply reply = map(1);
        EXPECT_EQ(reply.error, IOMMUD_ERROR_INVALID_MEMORY);
        EXPECT_EQ(reply.value, static_cast<std::uint64_t>(fault));
    }
    EXPECT_EQ(memory_.maps(), 0U);
}

TEST_F(MemoryOfALease, MapsDoNotOverlap) {
    ASSERT_EQ(map_at(3 * page_size, 2).error, IOMMUD_ERROR_NONE);

    for (const iommud_reply& reply : {map_at(4 * page_size, 1), map_at(2 * page_size, 2)}) {
        EXPECT_EQ(reply.error, IOMMUD_ERROR_INVALID_ARGUMENT);
        EXPECT_EQ(reply.value, fault_value(IOMMUD_IOVA_IN_USE, 3 * page_size));
    }
    EXPECT_EQ(map_at(5 * page_size, 1).error, IOMMUD_ERROR_NONE);
}

TEST_F(MemoryOfALease, AFixedIovaIsAWholePageAndDoesNotWrapAround) {
    EXPECT_EQ(map_at(0x3001, 1).value, fault_value(IOMMUD_IOVA_MISALIGNED, page_size));
    EXPECT_EQ(map_at(UINT64_MAX - page_size + 1, 2).error, IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(map_at(0xfff * page_size, 2).value, fault_value(IOMMUD_IOVA_BEYOND, 0x1000 * page_size));
    EXPECT_TRUE(context_.requests.empty());
}

TEST_F(MemoryOfALease, WhatTheKernelSaysOfAnIovaIsSaidAsSuch) {
    context_.map_errors = {EINVAL, EEXIST};

    for (int i = 0; i < 2; ++i) {
        const iommud_reply reply = map_at(3 * page_size, 1);
        EXPECT_EQ(reply.error, IOMMUD_ERROR_INVALID_ARGUMENT);
        EXPECT_EQ(reply.value, fault_value(IOMMUD_IOVA_REFUSED, 3 * page_size));
    }
}

TEST_F(MemoryOfALease, ALengthIsWholePagesOfTheIommu) {
    kernel::Geometry wide;
    wide.alignment = 16 * page_size;
    memory_.set_geometry(wide);

    const iommud_reply reply = map(1);

    EXPECT_EQ(reply.error, IOMMUD_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(reply.value, fault_value(IOMMUD_ARGUMENT_LENGTH, 16 * page_size));
}

TEST_F(MemoryOfALease, NoMoreMapsThanTheTableHolds) {
    ASSERT_EQ(map(1).error, IOMMUD_ERROR_NONE);
    ASSERT_EQ(map(1).error, IOMMUD_ERROR_NONE);
    ASSERT_EQ(map(1).error, IOMMUD_ERROR_NONE);

    const iommud_reply above = map(1);

    EXPECT_EQ(above.error, IOMMUD_ERROR_MAP_LIMIT);
    EXPECT_EQ(above.value, 3U);
}

TEST_F(MemoryOfALease, UnmapNamesAWholeMap) {
    ASSERT_EQ(map_at(3 * page_size, 4).error, IOMMUD_ERROR_NONE);

    EXPECT_EQ(unmap(4 * page_size, 0).error, IOMMUD_ERROR_NO_SUCH_MAP);
    EXPECT_EQ(unmap(3 * page_size, page_size).error, IOMMUD_ERROR_NO_SUCH_MAP);
    EXPECT_EQ(unmap(3 * page_size, 5 * page_size).error, IOMMUD_ERROR_NO_SUCH_MAP);
    EXPECT_EQ(unmap(3 * page_size, 4 * page_size).value, 4 * page_size);
    EXPECT_EQ(unmap(3 * page_size, 0).error, IOMMUD_ERROR_NO_SUCH_MAP);
}

TEST_F(MemoryOfALease, UnmapAllFreesTheReservation) {
    ASSERT_EQ(map(5).error, IOMMUD_ERROR_NONE);
    ASSERT_EQ(map(3).error, IOMMUD_ERROR_NONE);

    const iommud_reply reply = memory_.unmap({IOMMUD_UNMAP, IOMMUD_UNMAP_ALL, 1, 0, 0, 0});

    EXPECT_EQ(reply.value, reserve);
    EXPECT_EQ(memory_.mapped(), 0U);
    EXPECT_EQ(map(8).error, IOMMUD_ERROR_NONE);
}

TEST_F(MemoryOfALease, WhatTheKernelDidNotUnmapStaysCounted) {
    ASSERT_EQ(map(5).error, IOMMUD_ERROR_NONE);
    context_.unmap_all_errors = {EBUSY};

    const iommud_reply reply = memory_.unmap({IOMMUD_UNMAP, IOMMUD_UNMAP_ALL, 1, 0, 0, 0});

    EXPECT_EQ(reply.error, IOMMUD_ERROR_KERNEL);
    EXPECT_EQ(reply.value, static_cast<std::uint64_t>(EBUSY));
    EXPECT_EQ(memory_.mapped(), 5 * page_size);
}

}  // namespace
}  // namespace iommud::keeper
