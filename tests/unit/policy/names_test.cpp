#include "policy/names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "policy/address_glob.hpp"
#include "policy/utf8.hpp"

namespace iommud::policy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::vector<std::uint32_t> owners(const Names& names, std::uint32_t uid) {
    std::vector<std::uint32_t> result;
    names.owners_of(uid, result);
    return result;
}

TEST(Names, AreThoseOfTheFiles) {
    const Names names("alice:x:1000:100:Alice,,,:/home/alice:/bin/sh\n", "vfio:x:107:alice\n", "");

    EXPECT_EQ(names.uid_of("alice"), 1000U);
    EXPECT_EQ(names.gid_of("vfio"), 107U);
    EXPECT_EQ(names.user_text(1000), "alice (uid 1000)");
    EXPECT_EQ(names.user_text(1001), "uid 1001");
    EXPECT_THAT(names.groups_of(1000), ElementsAre(100, 107));
}

TEST(Names, OfTwoLinesWithOneNameTheFirstCounts) {
    const Names names("a:x:1:1::\na:x:2:2::\n", "g:x:3:\ng:x:4:\n", "");

    EXPECT_EQ(names.uid_of("a"), 1U);
    EXPECT_EQ(names.gid_of("g"), 3U);
}

TEST(Names, OfTwoUsersWithOneUidTheGroupsOfBothCount) {
    const Names names("root:x:0:0::\ntoor:x:0:9::\n", "disk:x:6:toor\n", "");

    EXPECT_EQ(names.user_text(0), "root (uid 0)");
    EXPECT_THAT(names.groups_of(0), ElementsAre(0, 6, 9));
}

TEST(Names, LinesThatAreNotWellFormedArePassedOver) {
    const Names names("+nis\n-nis:x:1:1::\n#a:x:1:1::\n:x:1:1::\nb:x:-1:1::\nc:x:4294967296:1::\nd:x:1\ne:x:5:5::",
                      "+\nf:x::\n", "e:1\ne:1:0\ne:x:9\nnobody-knows:1:1\n");

    EXPECT_THAT(names.users(), ElementsAre(testing::Pair("e", 5)));
    EXPECT_FALSE(names.gid_of("f"));
    EXPECT_THAT(owners(names, 1), IsEmpty());
}

TEST(Names, SubordinateUidsHaveTheirOwnersByNameOrUid) {
    const Names names("alice:x:1000:100::\n", "", "alice:100000:10\n1001:100005:10\n");

    EXPECT_THAT(owners(names, 99999), IsEmpty());
    EXPECT_THAT(owners(names, 100000), ElementsAre(1000));
    EXPECT_THAT(owners(names, 100009), UnorderedElementsAre(1000, 1001));
    EXPECT_THAT(owners(names, 100014), ElementsAre(1001));
    EXPECT_THAT(owners(names, 100015), IsEmpty());
}

TEST(Names, TheOwnerOfAUidIsWhoHasItInARange) {
    const Names names("alice:x:1000:100::\nbob:x:1001:100::\n", "", "alice:100000:10\n1002:100010:10\n");

    EXPECT_EQ(names.owner_of(100000), 1000U);
    EXPECT_EQ(names.owner_of(100009), 1000U);
    EXPECT_EQ(names.owner_of(100010), 1002U) << "by uid, whether or not that has a name";
    EXPECT_EQ(names.owner_of(100020), 100020U) << "nobody's range: its own";
    EXPECT_EQ(names.owner_of(1000), 1000U);
}

TEST(Names, AUserOwnsHimselfWhoeverHasHimInARange) {
    const Names names("root:x:0:0::\nalice:x:1000:100::\n", "", "root:1000:1\nalice:1000:1\nroot:0:65536\n");

    EXPECT_EQ(names.owner_of(1000), 1000U);
    EXPECT_EQ(names.owner_of(0), 0U);
    EXPECT_EQ(names.owner_of(5), 0U);
}

TEST(Names, AUidOfSeveralUsersRangesHasNoOneOwner) {
    const Names names("alice:x:1000:100::\nbob:x:1001:100::\n", "", "alice:100000:10\nbob:100005:10\nalice:100002:1\n");

    EXPECT_EQ(names.owner_of(100004), 1000U);
    EXPECT_EQ(names.owner_of(100005), std::nullopt);
    EXPECT_EQ(names.owner_of(100010), 1001U);
    EXPECT_EQ(names.owner_of(100002), 1000U) << "twice the same user's";
}

TEST(Names, AnOwnerWithoutANameMayHaveAnOwnerHimself) {
    const Names names("alice:x:1000:100::\n", "", "alice:100000:10\n100003:200000:10\n");

    EXPECT_EQ(names.owner_of(200001), 1000U);
}

TEST(Names, OwnersInARingAreNobody) {
    const Names names("", "", "100000:200000:1\n200000:100000:1\n300000:300000:1\n");

    EXPECT_EQ(names.owner_of(100000), std::nullopt);
    EXPECT_EQ(names.owner_of(300000), std::nullopt);
}

TEST(Names, ASubordinateRangePastTheLastUidEndsThere) {
    const Names names("alice:x:1000:100::\n", "", "alice:4294967290:100\n");

    EXPECT_THAT(owners(names, 0xffffffff), ElementsAre(1000));
    EXPECT_THAT(owners(names, 0), IsEmpty());
}

TEST(RangeIndex, FindsWhatALinearSearchFinds) {
    std::mt19937 engine(1);
    std::uniform_int_distribution<std::uint32_t> uid(0, 300);
    RangeIndex index;
    std::vector<UidRange> ranges;
    for (std::uint32_t i = 0; i < 200; ++i) {
        const auto [first, last] = std::minmax({uid(engine), uid(engine)});
        ranges.push_back({first, last});
        index.add(ranges.back(), i);
    }
    index.build();

    for (std::uint32_t wanted = 0; wanted <= 301; ++wanted) {
        std::vector<std::uint32_t> found;
        index.find(wanted, found);
        std::sort(found.begin(), found.end());
        std::vector<std::uint32_t> expected;
        for (std::uint32_t i = 0; i < ranges.size(); ++i) {
            expected.insert(expected.end(), ranges[i].contains(wanted) ? 1 : 0, i);
        }
        EXPECT_EQ(found, expected) << wanted;
    }
}

TEST(AddressGlob, CoversWhatItSurelyMatches) {
    AddressGlob::Fault fault{};
    const auto all = *AddressGlob::parse("0000:81:*", fault);
    const auto one = *AddressGlob::parse("0000:81:00.0", fault);
    const auto other = *AddressGlob::parse("0000:82:00.0", fault);

    EXPECT_TRUE(all.covers(one));
    EXPECT_TRUE(all.covers(all));
    EXPECT_FALSE(one.covers(all));
    EXPECT_FALSE(all.covers(other));
}

TEST(AddressGlob, OfManyStarsMatchesInNoTimeThatGrowsWildly) {
    AddressGlob::Fault fault{};
    const auto glob = AddressGlob::parse("*0*0*0*0*0*0*0*0*0*0*0*0*0*7", fault);

    EXPECT_FALSE(glob);
    EXPECT_EQ(fault, AddressGlob::Fault::matches_nothing);
}

TEST(Utf8, OfEveryLengthIsAccepted) {
    EXPECT_FALSE(first_invalid_utf8("aé€😀\U0010ffff"));
}

TEST(Utf8, IsRefusedAtTheFirstByteThatIsNot) {
    EXPECT_EQ(first_invalid_utf8("ab\x80"), 2U);                // a byte that only continues
    EXPECT_EQ(first_invalid_utf8("a\xc3"), 1U);                 // cut off
    EXPECT_EQ(first_invalid_utf8("\xc1\x81"), 0U);              // overlong
    EXPECT_EQ(first_invalid_utf8("\xe0\x80\x80"), 0U);          // overlong
    EXPECT_EQ(first_invalid_utf8("\xed\xa0\x80"), 0U);          // a surrogate
    EXPECT_EQ(first_invalid_utf8("\xf4\x90\x80\x80"), 0U);      // above U+10FFFF
    EXPECT_EQ(first_invalid_utf8("\xf8\x88\x80\x80\x80"), 0U);  // five bytes
}

}  // namespace
}  // namespace iommud::policy
