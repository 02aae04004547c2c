#include "daemon/vault/uid_ranges.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace iommud::vault {
namespace {

using testing::HasSubstr;

constexpr UidRange ours{0x70000000, 0x7000ffff};  // 1879048192-1879113727
constexpr const char* passwd = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";

TEST(UidRange, IsTwoNumbersThatPolicyGivesNothing) {
    const auto range = parse_uid_range("1879048192-2013265919");

    ASSERT_TRUE(range);
    EXPECT_EQ(range->first, 0x70000000U);
    EXPECT_EQ(range->last, 0x77ffffffU);
}

class BadRange : public testing::TestWithParam<const char*> {};

TEST_P(BadRange, IsRefusedWithWhatIsExpected) {
    const auto range = parse_uid_range(GetParam());

    ASSERT_FALSE(range);
    EXPECT_THAT(range.error().message, HasSubstr("expected FIRST-LAST, both from 1879048192 to 2147483647"));
}

INSTANTIATE_TEST_SUITE_P(UidRange, BadRange,
                         testing::Values("", "-", "1879048192", "1879048192-", "-1879048193", "1879048193-1879048192",
                                         "1000-2000", "1879048191-1879048192", "1879048192-2147483648",
                                         "1879048192-1879048193-1879048194", "1879048192 -1879048193",
                                         "99999999999999999999-99999999999999999999"));

TEST(UidRanges, ThatOverlapOrHaveNoRoomForEveryConnectionAreRefused) {
    EXPECT_TRUE(check_ranges({}));
    EXPECT_THAT(check_ranges({{0x70000000, 0x78000000}, {0x78000000, 0x7800ffff}}).error().message,
                HasSubstr("keepers' uids 1879048192-2013265920 and workers' uids 2013265920-2013331455 overlap"));
    EXPECT_THAT(check_ranges({{0x70000000, 0x77ffffff}, {0x78000000, 0x780003ff}}).error().message,
                HasSubstr("are 1024; 1089 are needed"));
}

TEST(UidsOfOurs, AreNobodysWhereNoFileNamesThem) {
    EXPECT_TRUE(owned_by_nobody(ours, passwd, "alice:100000:65536\n"));
    EXPECT_TRUE(owned_by_nobody(ours, "", ""));
}

TEST(UidsOfOurs, InPasswdAreRefusedByFileLineAndName) {
    const std::string text = std::string(passwd) + "mallory:x:1879048193:100::/:/bin/sh\n";

    const auto free = owned_by_nobody(ours, text, "");

    ASSERT_FALSE(free);
    EXPECT_THAT(free.error().message, HasSubstr("/etc/passwd:3 gives mallory the uid 1879048193, but "
                                                "1879048192-1879113727 must be the daemon's own"));
}

class Subordinate : public testing::TestWithParam<const char*> {};

TEST_P(Subordinate, UidsThatReachIntoOursAreRefused) {
    const auto free = owned_by_nobody(ours, passwd, std::string("alice:100000:65536\n") + GetParam());

    ASSERT_FALSE(free);
    EXPECT_THAT(free.error().message, HasSubstr("/etc/subuid:2 gives bob the uid"));
}

INSTANTIATE_TEST_SUITE_P(UidsOfOurs, Subordinate,
                         testing::Values("bob:1879113727:1\n", "bob:1879048191:2\n", "bob:1879050000:10",
                                         "bob:165536:4294967295\n", "bob:1:18446744073709551615\n"));

class Harmless : public testing::TestWithParam<const char*> {};

TEST_P(Harmless, LinesGiveNobodyAnything) {
    EXPECT_TRUE(owned_by_nobody(ours, GetParam(), GetParam()));
}

INSTANTIATE_TEST_SUITE_P(UidsOfOurs, Harmless,
                         testing::Values("bob:1879048191:1\n", "bob:1879113728:65536\n", "bob:1879048192:0\n", "\n\n",
                                         "# 1879048192\n", "bob:x\n", "bob:x:-1:\n", "bob:99999999999:1\n"));

TEST(UidsOfOurs, AreNobodysOnThisMachine) {
    EXPECT_TRUE(owned_by_nobody(UidRanges().keepers));
    EXPECT_TRUE(owned_by_nobody(UidRanges().workers));
}

}  // namespace
}  // namespace iommud::vault
