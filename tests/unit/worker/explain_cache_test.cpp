#include "daemon/worker/explain_cache.hpp"

#include <gtest/gtest.h>

namespace iommud::worker {
namespace {

ipc::ExplainRequest question(std::uint64_t memory, std::uint64_t cookie = 0) {
    ipc::ExplainRequest request;
    request.cookie = cookie;
    request.devices = {*PciAddress::parse("0000:00:04.0")};
    request.memory = memory;
    return request;
}

ipc::ExplainEntries answer(std::string decision) {
    return {.cookie = 1, .lasting = true, .allowed = true, .decision = std::move(decision), .trace = {}};
}

TEST(ExplainCache, KnowsTheAnswerToTheSameQuestionWhateverItsCookie) {
    ExplainCache cache;
    cache.keep(question(4096, 7), answer("yes"));

    ASSERT_NE(cache.find(question(4096, 8)), nullptr);
    EXPECT_EQ(cache.find(question(4096, 8))->decision, "yes");
    EXPECT_EQ(cache.find(question(8192)), nullptr);
}

TEST(ExplainCache, KnowsNothingOnceItHasToForget) {
    ExplainCache cache;
    cache.keep(question(4096), answer("yes"));

    cache.forget();

    EXPECT_EQ(cache.find(question(4096)), nullptr);
}

TEST(ExplainCache, LetsTheOldestGoWhenItIsFull) {
    ExplainCache cache;
    const auto keep = [&cache](std::uint64_t number) { cache.keep(question(number), answer(std::to_string(number))); };
    const auto known = [&cache](std::uint64_t number) { return cache.find(question(number)) != nullptr; };
    for (std::uint64_t number = 0; number < ExplainCache::most_answers + 2; ++number) {
        keep(number);
    }

    EXPECT_FALSE(known(0));
    EXPECT_FALSE(known(1));
    EXPECT_TRUE(known(2));
    EXPECT_EQ(cache.find(question(ExplainCache::most_answers + 1))->decision,
              std::to_string(ExplainCache::most_answers + 1));

    cache.forget();
    for (std::uint64_t number = 100; number < 100 + ExplainCache::most_answers; ++number) {
        keep(number);
    }
    EXPECT_TRUE(known(100));
    keep(200);
    EXPECT_FALSE(known(100));
}

TEST(ExplainCache, DoesNotKeepALongAnswer) {
    ExplainCache cache;
    ipc::ExplainEntries longest = answer("");
    longest.trace = {{{"why", std::string(ExplainCache::most_bytes - 3, 'x')}}};
    ipc::ExplainEntries longer = longest;
    longer.decision = "y";

    cache.keep(question(1), longest);
    cache.keep(question(2), longer);

    EXPECT_NE(cache.find(question(1)), nullptr);
    EXPECT_EQ(cache.find(question(2)), nullptr);
}

}  // namespace
}  // namespace iommud::worker
