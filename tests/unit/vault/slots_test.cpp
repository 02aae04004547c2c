#include "daemon/vault/slots.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace iommud::vault {
namespace {

TEST(Slots, LinesAreAccountsAndTheirSlots) {
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
                         testing::Values("1000", "1000 0", "1000 0\n1000 1\n", "1000 0\n1001 0\n", "1000 134217728\n",
                                         "-1 0\n", "1000  0\n", "1000 0 \n", "4294967296 0\n", "\n", "a 0\n",
                                         "1000 0\n1001"));

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

TEST_F(SlotsFileOnDisk, GivesEachAccountOneSlotForEver) {
    SlotsFile slots(path());

    EXPECT_EQ(slots.slot_of(1000).value(), 0U);
    EXPECT_EQ(slots.slot_of(1001).value(), 1U);
    EXPECT_EQ(slots.slot_of(1000).value(), 0U);
    EXPECT_EQ(text(), "1000 0\n1001 1\n");
}

TEST_F(SlotsFileOnDisk, IsReadByTheNextVaultWhichCountsOn) {
    write("1000 4\n");
    SlotsFile slots(path());

    EXPECT_EQ(slots.slot_of(1000).value(), 4U);
    EXPECT_EQ(slots.slot_of(1001).value(), 5U);
}

TEST_F(SlotsFileOnDisk, ThatOthersMayWriteIsRefused) {
    write("");
    ASSERT_EQ(::chmod(path().c_str(), 0664), 0);

    EXPECT_THROW(SlotsFile{path()}, Fatal);
}

TEST_F(SlotsFileOnDisk, ThatIsALinkIsRefused) {
    ASSERT_EQ(::symlink("/dev/null", path().c_str()), 0);

    EXPECT_THROW(SlotsFile{path()}, Fatal);
}

TEST_F(SlotsFileOnDisk, ThatIsAPipeIsRefusedAndNotWaitedFor) {
    ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);

    EXPECT_THROW(SlotsFile{path()}, Fatal);
}

TEST_F(SlotsFileOnDisk, ThatIsRubbishIsRefused) {
    write("1000 0\nrubbish\n");

    EXPECT_THROW(SlotsFile{path()}, Fatal);
}

}  // namespace
}  // namespace iommud::vault
