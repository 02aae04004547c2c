#include "daemon/monitor/admission.hpp"

#include <gtest/gtest.h>

namespace iommud::monitor {
namespace {

using Party = Admission::Party;

TEST(Admission, GivesAPartyItsConnectionsAndNoMore) {
    Admission admission;
    for (std::uint32_t i = 0; i < Admission::connections_each; ++i) {
        ASSERT_EQ(admission.enter({1000, ""}), nullptr);
    }

    EXPECT_NE(admission.enter({1000, ""}), nullptr);
    EXPECT_EQ(admission.enter({1001, ""}), nullptr) << "another user is not concerned";
    EXPECT_EQ(admission.enter({1000, "box"}), nullptr) << "another endpoint is another party";
}

TEST(Admission, TakesAConnectionBack) {
    Admission admission;
    for (std::uint32_t i = 0; i < Admission::connections_each; ++i) {
        ASSERT_EQ(admission.enter({1000, ""}), nullptr);
    }
    admission.leave({1000, ""});

    EXPECT_EQ(admission.enter({1000, ""}), nullptr);
}

TEST(Admission, KeepsTheLastPlacesForRoot) {
    Admission admission;
    std::uint32_t entered = 0;
    for (std::uint32_t uid = 1; uid <= 1024; ++uid) {
        entered += admission.enter({uid, ""}) == nullptr ? 1 : 0;
    }

    EXPECT_EQ(entered, Admission::connections_in_all - Admission::kept_for_root);
    EXPECT_EQ(admission.enter({0, ""}), nullptr);
}

TEST(Admission, RootMeetsTheWholeHostsBoundOnly) {
    Admission admission;
    std::uint32_t entered = 0;
    while (admission.enter({0, ""}) == nullptr) {
        ++entered;
    }

    EXPECT_EQ(entered, Admission::connections_in_all);
}

TEST(Admission, StartsSixteenWorkersASecondForOneParty) {
    Admission admission;
    const Admission::Clock::time_point now{std::chrono::hours(1)};
    std::uint32_t started = 0;
    for (int i = 0; i < 100; ++i) {
        started += admission.start_worker({1000, ""}, now) ? 1 : 0;
    }

    EXPECT_EQ(started, Admission::workers_per_second_each);
    EXPECT_TRUE(admission.start_worker({1001, ""}, now));
    EXPECT_TRUE(admission.start_worker({1000, ""}, now + std::chrono::seconds(1)));
}

TEST(Admission, BoundsAContainerWhateverItsUids) {
    Admission admission;
    const Admission::Clock::time_point now{std::chrono::hours(1)};
    std::uint32_t entered = 0;
    std::uint32_t started = 0;
    for (std::uint32_t uid = 100000; uid < 101000; ++uid) {
        entered += admission.enter({uid, "box"}) == nullptr ? 1 : 0;
        started += admission.start_worker({uid, "box"}, now) ? 1 : 0;
    }

    EXPECT_EQ(entered, Admission::connections_of_endpoint);
    EXPECT_EQ(started, Admission::workers_per_second_of_endpoint);
    EXPECT_EQ(admission.enter({100000, "other"}), nullptr) << "another container is not concerned";
    EXPECT_EQ(admission.enter({100000, ""}), nullptr) << "nor is the host";
}

TEST(Admission, TakesAContainersConnectionBack) {
    Admission admission;
    for (std::uint32_t uid = 0; uid < Admission::connections_of_endpoint; ++uid) {
        ASSERT_EQ(admission.enter({uid, "box"}), nullptr);
    }
    ASSERT_NE(admission.enter({1000, "box"}), nullptr);
    admission.leave({0, "box"});

    EXPECT_EQ(admission.enter({1000, "box"}), nullptr);
}

TEST(Admission, AContainersRootIsNobodySpecial) {
    Admission admission;
    const Admission::Clock::time_point now{std::chrono::hours(1)};
    std::uint32_t entered = 0;
    std::uint32_t started = 0;
    for (int i = 0; i < 100; ++i) {
        entered += admission.enter({0, "box"}) == nullptr ? 1 : 0;
        started += admission.start_worker({0, "box"}, now) ? 1 : 0;
    }

    EXPECT_EQ(entered, Admission::connections_each);
    EXPECT_EQ(started, Admission::workers_per_second_each);
}

TEST(Admission, HoldsARateWhoeverElseComesAndGoes) {
    Admission admission;
    const Admission::Clock::time_point now{std::chrono::hours(1)};
    for (std::uint32_t uid = 100000; uid < 103000; ++uid) {
        ASSERT_EQ(admission.enter({uid, ""}), nullptr);
        ASSERT_TRUE(admission.start_worker({uid, ""}, now));
        admission.leave({uid, ""});
    }
    std::uint32_t started = 0;
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(admission.enter({1000, ""}), nullptr);
        started += admission.start_worker({1000, ""}, now) ? 1 : 0;
        admission.leave({1000, ""});
    }

    EXPECT_EQ(started, Admission::workers_per_second_each);
}

TEST(Admission, ForgetsWhoHasGone) {
    Admission admission;
    Admission::Clock::time_point now{std::chrono::hours(1)};
    for (std::uint32_t uid = 100000; uid < 110000; ++uid) {
        ASSERT_EQ(admission.enter({uid, ""}), nullptr);
        ASSERT_TRUE(admission.start_worker({uid, ""}, now));
        admission.leave({uid, ""});
        now += std::chrono::milliseconds(1);
    }

    EXPECT_LT(admission.parties(), 2100U);
}

TEST(Admission, LeavingWithoutHavingEnteredChangesNothing) {
    Admission admission;
    admission.leave({1000, ""});

    EXPECT_EQ(admission.connections(), 0U);
}

}  // namespace
}  // namespace iommud::monitor
