// The order that makes a take-back final (hazard C10).
#include "daemon/keeper/take_back.hpp"

#include <gmock/gmock.h>

#include <cerrno>

#include "tests/unit/keeper/fake_context.hpp"

namespace iommud::keeper {
namespace {

using testing::ElementsAre;

class TakeBackOf : public testing::Test {
  protected:
    FakeContext context_;
    LeaseMemory memory_{context_, 1 << 20, MapTable(4)};
    TakeBack take_back_{context_, memory_};
};

TEST_F(TakeBackOf, AQuietLeaseUnmapsDetachesDestroysClosesAndAsks) {
    EXPECT_TRUE(take_back_.end_dma());
    EXPECT_TRUE(take_back_.destroy());
    take_back_.close_devices();
    EXPECT_TRUE(take_back_.drained());

    EXPECT_THAT(context_.calls, ElementsAre("unmap all", "detach", "destroy", "close", "let go"));
}

TEST_F(TakeBackOf, DmaHasNotEndedBeforeAllIsUnmapped) {
    context_.unmap_all_errors = {EBUSY, EBUSY};

    EXPECT_FALSE(take_back_.end_dma());
    EXPECT_FALSE(take_back_.end_dma());
    EXPECT_TRUE(take_back_.end_dma());

    EXPECT_THAT(context_.calls, ElementsAre("unmap all", "unmap all", "unmap all"));
}

TEST_F(TakeBackOf, AClientThatAttachesInBetweenIsDetachedAgainAndWhatWasMappedMeanwhileUnmapped) {
    context_.destroy_errors = {EBUSY, EBUSY};

    EXPECT_FALSE(take_back_.destroy());
    EXPECT_FALSE(take_back_.destroy());
    EXPECT_TRUE(take_back_.destroy());

    EXPECT_THAT(context_.calls,
                ElementsAre("detach", "destroy", "unmap all", "detach", "destroy", "unmap all", "detach", "destroy"));
}

TEST_F(TakeBackOf, AClientThatAttachesForEverDoesNotKeepTheDevicesOpen) {
    context_.destroy_errors.assign(100000, EBUSY);
    int attempts = 1;

    while (!take_back_.destroy()) {
        ASSERT_LT(++attempts, 1000);
    }

    EXPECT_EQ(context_.calls.back(), "destroy");
}

TEST_F(TakeBackOf, UnmappingIsNeverGivenUp) {
    context_.unmap_all_errors.assign(2000, EBUSY);

    for (int i = 0; i < 2000; ++i) {
        ASSERT_FALSE(take_back_.end_dma());
    }

    EXPECT_TRUE(take_back_.end_dma());
}

TEST_F(TakeBackOf, DrainingIsTriedLessAndLessOften) {
    context_.busy_drains = 20;
    std::vector<int> pauses;

    while (!take_back_.drained()) {
        pauses.push_back(take_back_.pause_ms());
    }

    EXPECT_EQ(pauses.size(), 20U);
    EXPECT_TRUE(std::is_sorted(pauses.begin(), pauses.end()));
    EXPECT_EQ(pauses.front(), 2);
    EXPECT_EQ(pauses.back(), 100);
}

}  // namespace
}  // namespace iommud::keeper
