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
    EXPECT_EQ(*slots, (Slots{{1000, 0}, {100000, 1}, {4294967294, 7}}));
}

TEST(Slots, AnEmptyFileHasNone) {
    const auto slots = parse_slots("");

    ASSERT_TRUE(slots);
    EXPECT_TRUE(slots->empty());
}

class BadSlots : public testing::TestWithParam<const char*> {};

TEST_P(BadSlots, AreRefused) {
    EXPECT_FALSE(parse_slots(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Slots, BadSlots,
                         testing::Values("1000", "1000 0", "1000 0\n1000 1\n", "1000 0\n1001 0\n", "-1 0\n",
                                         "1000  0\n", "1000 0 \n", "4294967296 0\n", "\n", "a 0\n", "1000 0\n1001"));

constexpr UidRange range{0x70000000, 0x77ffffff};

class SlotsFileOnDisk : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = std::filesystem::temp_directory_path() / "iommud-slots-XXXXXX";
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
    EXPECT_EQ(text(), "1000 1879048192\n1001 1879048193\n");
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
    write("1000 0\nrubbish\n");

    EXPECT_THROW(SlotsFile(path(), range), Fatal);
}

}  // namespace
}  // namespace iommud::vault
