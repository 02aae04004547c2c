#include "daemon/monitor/back_off.hpp"

#include <gtest/gtest.h>

namespace iommud::monitor {
namespace {

using std::chrono::seconds;

constexpr BackOff::Clock::time_point start{};

TEST(BackOff, WaitsTwiceAsLongEachTimeUpToAMinute) {
    BackOff back_off;
    back_off.started(start);

    for (const int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
        EXPECT_EQ(back_off.failed(start).wait, seconds(wait));
    }
}

TEST(BackOff, SaysWhichFailureIsTheFirstOfARow) {
    BackOff back_off;
    back_off.started(start);

    EXPECT_TRUE(back_off.failed(start).first);
    EXPECT_FALSE(back_off.failed(start).first);
    EXPECT_FALSE(back_off.failed(start).first);
}

TEST(BackOff, BeginsAnewAfterWhatHasHeldForAMinute) {
    BackOff back_off;
    back_off.started(start);
    static_cast<void>(back_off.failed(start));
    static_cast<void>(back_off.failed(start));

    back_off.started(start + seconds(10));
    const BackOff::Failure early = back_off.failed(start + seconds(69));
    back_off.started(start + seconds(100));
    const BackOff::Failure late = back_off.failed(start + seconds(160));

    EXPECT_FALSE(early.first);
    EXPECT_TRUE(late.first);
    EXPECT_EQ(late.wait, seconds(1));
}

}  // namespace
}  // namespace iommud::monitor
