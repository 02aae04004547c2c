#include "client/oci-hook/process.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <limits>

namespace iommud::hook {
namespace {

TEST(Process, OfOurOwnMountNamespaceIsRefused) {
    const auto process = Process::open(::getpid());

    ASSERT_FALSE(process);
    EXPECT_EQ(process.error().message, "the container has no mount namespace of its own");
}

TEST(Process, ThatNoRuntimeNamesIsRefused) {
    for (const std::int64_t pid : {std::int64_t{0}, std::int64_t{1}, std::int64_t{-17}, std::int64_t{1} << 40,
                                   std::numeric_limits<std::int64_t>::max()}) {
        EXPECT_FALSE(Process::open(pid)) << pid;
    }
}

}  // namespace
}  // namespace iommud::hook
