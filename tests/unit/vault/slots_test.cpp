#include "daemon/vault/slots.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace iommud::vault {
namespace {

TEST(Slots, LinesAreAccountsAndTheirKeepersUids) {
    const auto slots = parse_slots("1000 0\n100000 1\n4294967294 7\n");

    ASSERT_TRUE(slots);
    EXPECT_EQ(*slots, (Slots{{{1000, 0}, {100000, 1}, {4294967294, 7}}, {{0, 1}, {7, 7}}}));
}

TEST(Slots, RangesAreOfUidsThatWereGiven) {
    const auto slots = parse_slots("given 10-19\n1000 20\ngiven 5-8\ngiven 4294967295-4294967295\n1001 9\n");

    ASSERT_TRUE(slots);
    EXPECT_EQ(*slots, (Slots{{{1000, 20}, {1001, 9}}, {{5, 20}, {4294967295, 4294967295}}}));
}

TEST(Slots, AnEmptyFileHasNone) {
    const auto slots = parse_slots("");

    ASSERT_TRUE(slots);
    EXPECT_EQ(*slots, Slots{});
}

class BadSlots : public testing::TestWithParam<const char*> {};

TEST_P(BadSlots, AreRefused) {
    EXPECT_FALSE(parse_slots(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Slots, BadSlots,
                         testing::Values("1000", "1000 0", "1000 0\n1000 1\n", "1000 0\n1001 0\n", "-1 0\n",
                                         "1000  0\n", "1000 0 \n", "given 5\n", "given 5-\n", "given 6-5\n",
                                         "4294967296 0\n", "\n", "a 0\n", "1000 0\n1001"));

constexpr UidRange range{0x70000000, 0x77ffffff};

class SlotsFileOnDisk : public testing::Test {
  protected:
    void SetUp() override {
        // As /run: a file system in memory, where fsync costs nothing.
        std::string pattern = "/dev/shm/iommud-slots-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    [[nodiscard]] std::string path() const { return folder_ / "slots"; }
    void write(const std::string& text) { std::ofstream(path()) << text; }
    [[nodiscard]] std::string text() const {
        std::ifstream file(path());
        return {std::istreambuf_iterator<char>(file), {}};
    }

  private:
    std::filesystem::path folder_;
};

TEST_F(SlotsFileOnDisk, GivesEachAccountOneUidForEver) {
    SlotsFile slots(path(), range);

    EXPECT_EQ(slots.uid_of(1000).value(), range.first);
    EXPECT_EQ(slots.uid_of(1001).value(), range.first + 1);
    EXPECT_EQ(slots.uid_of(1000).value(), range.first);
    EXPECT_EQ(text(), "given 1879048192-1879048193\n1000 1879048192\n1001 1879048193\n");
}

TEST_F(SlotsFileOnDisk, IsReadByTheNextVaultWhichCountsOn) {
    write("1000 1879048196\n");
    SlotsFile slots(path(), range);

    EXPECT_EQ(slots.uid_of(1000).value(), 1879048196U);
    EXPECT_EQ(slots.uid_of(1001).value(), 1879048197U);
}

TEST_F(SlotsFileOnDisk, KeepsTheUidsOfARangeThatWasConfiguredBefore) {
    write("1000 2113265919\n1001 1879048192\n");
    SlotsFile slots(path(), range);

    EXPECT_EQ(slots.uid_of(1000).value(), 2113265919U);
    EXPECT_EQ(slots.uid_of(1002).value(), range.first + 1) << "1001's uid is never another account's";
}

TEST_F(SlotsFileOnDisk, ThatIsUsedUpGivesNoUidTwice) {
    SlotsFile slots(path(), {range.first, range.first + 1});
    ASSERT_TRUE(slots.uid_of(1000));
    ASSERT_TRUE(slots.uid_of(1001));

    const auto third = slots.uid_of(1002);

    ASSERT_FALSE(third);
    EXPECT_THAT(third.error().message, testing::HasSubstr("1879048192-1879048193 are used up until the next boot"));
    EXPECT_TRUE(slots.uid_of(1001)) << "who has one keeps it";
}

TEST_F(SlotsFileOnDisk, OfAVaultThatKeptEveryAccountIsReadAndNoneOfItsUidsGivenAgain) {
    std::string old;
    constexpr std::uint32_t many = 70000;
    for (std::uint32_t i = 0; i < many; ++i) {
        old += std::to_string(100000 + i) + " " + std::to_string(range.first + i) + "\n";
    }
    write(old);

    SlotsFile slots(path(), range);

    EXPECT_EQ(slots.all().accounts.size(), most_idle_accounts);
    EXPECT_EQ(slots.uid_of(100000 + many - 1).value(), range.first + many - 1) << "the last ones keep theirs";
    EXPECT_EQ(slots.uid_of(100000).value(), range.first + many);
}

TEST_F(SlotsFileOnDisk, DoesNotGrowWithTheAccountsThatComeAndGo) {
    SlotsFile slots(path(), range);
    for (std::uint32_t i = 0; i < 3000; ++i) {
        const auto own = slots.uid_of(100000 + i);
        ASSERT_TRUE(own);
        ASSERT_EQ(*own, range.first + i) << "no uid twice";
        while (const auto gone = slots.surplus({})) {
            slots.forget(gone->first);
        }
        ASSERT_LT(slots.all().accounts.size(), most_idle_accounts);
    }
    EXPECT_LT(std::filesystem::file_size(path()), 28 * (most_idle_accounts + 1));
    EXPECT_EQ(SlotsFile(path(), range).uid_of(99999).value(), range.first + 3000);
}

TEST_F(SlotsFileOnDisk, ForgetsWhoHasBeenQuietTheLongestAndNobodyWhoIsBusy) {
    SlotsFile slots(path(), range);
    for (std::uint32_t account = 0; account < most_idle_accounts; ++account) {
        ASSERT_TRUE(slots.uid_of(account));
    }
    ASSERT_TRUE(slots.uid_of(0)) << "once more";

    EXPECT_EQ(slots.surplus({}), std::pair(1U, range.first + 1));
    EXPECT_EQ(slots.surplus({1}), std::nullopt) << "one fewer is quiet";
    ASSERT_TRUE(slots.uid_of(5000));
    EXPECT_EQ(slots.surplus({1}), std::pair(2U, range.first + 2));
}

TEST_F(SlotsFileOnDisk, TakesNoMoreAccountsThanItHasRoomFor) {
    SlotsFile slots(path(), range);
    for (std::uint32_t account = 0; account < most_accounts; ++account) {
        ASSERT_TRUE(slots.uid_of(account));
    }

    const auto more = slots.uid_of(999999);

    ASSERT_FALSE(more);
    EXPECT_THAT(more.error().message, testing::HasSubstr("no more fit"));
    EXPECT_EQ(more.error().code, ErrorCode::lease_limit);
}

TEST_F(SlotsFileOnDisk, ThatEndsInHalfALineIsReadAndNoUidOfItGiven) {
    write("1000 1879048192\n1001 187904");
    SlotsFile slots(path(), range);

    EXPECT_EQ(slots.uid_of(1000).value(), range.first);
    EXPECT_EQ(slots.uid_of(1001).value(), range.first + 2) << "the one in between may have been its";
    EXPECT_EQ(SlotsFile(path(), range).uid_of(1001).value(), range.first + 2);
}

TEST_F(SlotsFileOnDisk, ThatIsHalfWrittenBesideIsNotLookedAt) {
    write("1000 1879048192\n");
    std::ofstream(path() + ".new") << "rubb";
    SlotsFile slots(path(), range);

    EXPECT_EQ(slots.uid_of(1001).value(), range.first + 1);
    EXPECT_EQ(text(), "given 1879048192-1879048193\n1000 1879048192\n1001 1879048193\n");
    EXPECT_FALSE(std::filesystem::exists(path() + ".new"));
}

TEST_F(SlotsFileOnDisk, IsAWholeFileAtEveryMoment) {
    SlotsFile slots(path(), range);
    ASSERT_TRUE(slots.uid_of(1000));
    std::ifstream before(path());
    ASSERT_TRUE(slots.uid_of(1001));

    const std::string seen{std::istreambuf_iterator<char>(before), {}};

    EXPECT_EQ(seen, "given 1879048192-1879048192\n1000 1879048192\n") << "whoever had it open sees the old one, whole";
}

TEST_F(SlotsFileOnDisk, ThatOthersMayWriteIsRefused) {
    write("");
    ASSERT_EQ(::chmod(path().c_str(), 0664), 0);

    EXPECT_THROW(SlotsFile(path(), range), Fatal);
}

TEST_F(SlotsFileOnDisk, ThatIsALinkIsRefused) {
    ASSERT_EQ(::symlink("/dev/null", path().c_str()), 0);

    EXPECT_THROW(SlotsFile(path(), range), Fatal);
}

TEST_F(SlotsFileOnDisk, ThatIsAPipeIsRefusedAndNotWaitedFor) {
    ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);

    EXPECT_THROW(SlotsFile(path(), range), Fatal);
}

TEST_F(SlotsFileOnDisk, ThatIsRubbishIsRefused) {
    write("1000 0\nrubbish\n1001 1\n");

    EXPECT_THROW(SlotsFile(path(), range), Fatal);
}

}  // namespace
}  // namespace iommud::vault
