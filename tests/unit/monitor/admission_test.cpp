#include "daemon/monitor/admission.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace iommud::monitor {
namespace {

using Party = Admission::Party;

const Party root{.uid = 0, .endpoint = {}, .root = true};

TEST(Admission, GivesAPartyItsConnectionsAndNoMore) {
    Admission admission;
    for (std::uint32_t i = 0; i < Admission::connections_each; ++i) {
        ASSERT_EQ(admission.enter({1000, ""}), nullptr);
    }

    EXPECT_NE(admission.enter({1000, ""}), nullptr);
    EXPECT_EQ(admission.enter({1001, ""}), nullptr) << "another user is not concerned";
    EXPECT_EQ(admission.enter({1000, "box"}), nullptr) << "another endpoint is another party";
}

TEST(Admission, GivesAUidOfAContainerNoMoreThanAUserOfTheHost) {
    Admission admission;
    for (std::uint32_t i = 0; i < Admission::connections_each; ++i) {
        ASSERT_EQ(admission.enter({1000, "box"}), nullptr);
    }

    EXPECT_NE(admission.enter({1000, "box"}), nullptr);
    EXPECT_EQ(admission.enter({1001, "box"}), nullptr) << "another of its uids";
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

    EXPECT_EQ(entered, Admission::users.in_all);
    EXPECT_EQ(admission.enter(root), nullptr);
}

TEST(Admission, RootMeetsTheWholeHostsBoundOnly) {
    Admission admission;
    std::uint32_t entered = 0;
    while (admission.enter(root) == nullptr) {
        ++entered;
    }

    EXPECT_EQ(entered, Admission::connections_in_all);
}

TEST(Admission, KeepsPlacesForContainersWhateverUsersTake) {
    Admission admission;
    std::uint32_t entered = 0;
    for (std::uint32_t i = 0; i < 100000; ++i) {
        entered += admission.enter({i % 10000 + 1, ""}) == nullptr ? 1 : 0;
    }

    EXPECT_EQ(entered, Admission::users.in_all);
    for (std::uint32_t i = 0; i < Admission::containers.parties; ++i) {
        EXPECT_EQ(admission.enter({0, "box-" + std::to_string(i)}), nullptr) << i;
    }
}

TEST(Admission, RootsSubordinateUidsAreNotRoot) {
    Admission admission;
    std::uint32_t entered = 0;
    for (int i = 0; i < 100; ++i) {
        entered += admission.enter({0, ""}) == nullptr ? 1 : 0;
    }

    EXPECT_EQ(entered, Admission::connections_each);
}

// Whatever hostile parties do, one that comes anew gets its base: for each kind, with as many as are promised.
void others_get_in(const Places::Bounds& bounds, const std::function<Party(std::uint32_t)>& party, unsigned seed) {
    Admission admission;
    std::mt19937 engine(seed);
    const std::uint32_t hostile = bounds.parties - 1;
    std::vector<Party> inside;
    for (int step = 0; step < 20000; ++step) {
        const Party who = party(std::uniform_int_distribution<std::uint32_t>(0, hostile - 1)(engine));
        const bool leave = !inside.empty() && std::uniform_int_distribution<int>(0, 4)(engine) == 0;
        if (leave) {
            std::swap(inside[engine() % inside.size()], inside.back());
            admission.leave(inside.back());
            inside.pop_back();
        } else if (admission.enter(who) == nullptr) {
            inside.push_back(who);
        }
        const Party honest = party(hostile);
        for (std::uint32_t i = 0; i < bounds.base; ++i) {
            ASSERT_EQ(admission.enter(honest), nullptr) << "seed " << seed << ", step " << step;
        }
        for (std::uint32_t i = 0; i < bounds.base; ++i) {
            admission.leave(honest);
        }
    }
    for (const Party& who : inside) {
        admission.leave(who);
    }
    EXPECT_EQ(admission.connections(), 0U);
}

TEST(Admission, LetsEveryUserInUpToTheNumberPromised) {
    for (unsigned seed = 1; seed <= 4; ++seed) {
        others_get_in(
            Admission::users,
            [](std::uint32_t number) {
                return Party{1000 + number, {}};
            },
            seed);
    }
}

TEST(Admission, LetsEveryContainerInUpToTheNumberPromised) {
    for (unsigned seed = 1; seed <= 2; ++seed) {
        others_get_in(
            Admission::containers,
            [](std::uint32_t number) {
                return Party{0, "box-" + std::to_string(number)};
            },
            seed);
    }
}

TEST(Admission, GivesOnePartyAtMostHalfOfWhatTheOthersLeave) {
    Admission admission;
    std::vector<std::uint32_t> each;
    for (std::uint32_t uid = 1; uid <= Admission::users.parties; ++uid) {
        each.push_back(0);
        while (admission.enter({uid, ""}) == nullptr) {
            ++each.back();
        }
    }

    EXPECT_EQ(each.front(), Admission::connections_each);
    EXPECT_EQ(each.back(), Admission::users.base);
    EXPECT_TRUE(std::is_sorted(each.rbegin(), each.rend())) << "who comes later has no more";
}

TEST(Admission, LooksAtSoManyConnectionsASecondOfOneParty) {
    Admission admission;
    const Admission::Clock::time_point now{std::chrono::hours(1)};
    std::uint32_t looked = 0;
    std::uint32_t looked_at_container = 0;
    for (std::uint32_t i = 0; i < 1000; ++i) {
        looked += admission.look({1000, ""}, now) ? 1 : 0;
        looked_at_container += admission.look({i, "box"}, now) ? 1 : 0;
        ASSERT_TRUE(admission.look(root, now));
    }

    EXPECT_EQ(looked, Admission::looks_per_second_each);
    EXPECT_EQ(looked_at_container, Admission::looks_per_second_of_endpoint);
    EXPECT_TRUE(admission.look({1001, ""}, now));
    EXPECT_TRUE(admission.look({1000, ""}, now + std::chrono::seconds(1)));
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
