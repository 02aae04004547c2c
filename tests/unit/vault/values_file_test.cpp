#include "daemon/vault/values_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace iommud::vault {
namespace {

ipc::Bytes bytes(std::string_view text) {
    const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
    return {begin, begin + text.size()};
}

TEST(Values, AreNamesAndWhatTheyHoldTheLastLineCounts) {
    const auto values = parse_values("61 3132\n62 \n61 33\n63 00ff\n63\n");

    ASSERT_TRUE(values);
    EXPECT_EQ(*values, (Values{{"a", bytes("3")}, {"b", {}}}));
}

class BadValues : public testing::TestWithParam<const char*> {};

TEST_P(BadValues, AreRefused) {
    EXPECT_FALSE(parse_values(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Values, BadValues,
                         testing::Values("61 31", "61", "6 31\n", "61 3\n", "61 3g\n", "\n", " 31\n", "61 31 32\n",
                                         "61 -1\n", "61 0x\n", "61  31\n"));

class ValuesOnDisk : public testing::Test {
  protected:
    void SetUp() override {
        // As /run: a file system in memory, where fsync costs nothing.
        std::string pattern = "/dev/shm/iommud-held-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    [[nodiscard]] std::string path() const { return folder_ / "held"; }

  private:
    std::filesystem::path folder_;
};

TEST_F(ValuesOnDisk, OutliveWhoHoldsThem) {
    {
        ValuesFile values(path());
        ASSERT_TRUE(values.hold("taint/0000:00:04.0", bytes("alice")));
        ASSERT_TRUE(values.hold("taint/0000:00:06.0", bytes("bob")));
        ASSERT_TRUE(values.hold("taint/0000:00:04.0", bytes(std::string_view("c\0\n", 3))));
        ASSERT_TRUE(values.unhold("taint/0000:00:06.0"));
        ASSERT_TRUE(values.unhold("never held"));
    }

    EXPECT_EQ(ValuesFile(path()).all(), (Values{{"taint/0000:00:04.0", bytes(std::string_view("c\0\n", 3))}}));
}

TEST_F(ValuesOnDisk, TakeNoMoreRoomTheMoreOftenTheyChange) {
    ValuesFile values(path());
    const ipc::Bytes large(16384);
    for (int i = 0; i < 300; ++i) {
        ASSERT_TRUE(values.hold("name", large));
        ASSERT_TRUE(values.hold("other", bytes(std::to_string(i))));
    }

    EXPECT_LT(std::filesystem::file_size(path()), std::uintmax_t{4} << 20);
    EXPECT_EQ(ValuesFile(path()).all(), (Values{{"name", large}, {"other", bytes("299")}}));
}

TEST_F(ValuesOnDisk, HaveABound) {
    ValuesFile values(path());
    const ipc::Bytes large(16384);
    int taken = 0;
    while (taken < 4096 && values.hold(std::to_string(taken), large)) {
        ++taken;
    }

    EXPECT_GT(taken, 50);
    EXPECT_LT(taken, 150);
    EXPECT_LE(std::filesystem::file_size(path()), std::uintmax_t{4} << 20);
}

TEST_F(ValuesOnDisk, GoOnAfterOneThatWasTooMuch) {
    ValuesFile values(path());
    const ipc::Bytes large(16384);
    int taken = 0;
    while (values.hold(std::to_string(taken), large)) {
        ++taken;
    }

    EXPECT_TRUE(values.unhold("0"));
    EXPECT_TRUE(values.hold("0", large));
    EXPECT_EQ(ValuesFile(path()).all().size(), static_cast<std::size_t>(taken));
}

TEST_F(ValuesOnDisk, ThatEndInHalfALineAreReadAsFarAsTheyAreWhole) {
    std::ofstream(path()) << "61 31\n62 3";
    {
        ValuesFile values(path());
        EXPECT_EQ(values.all(), (Values{{"a", bytes("1")}}));
        ASSERT_TRUE(values.hold("c", bytes("3")));
    }

    EXPECT_EQ(ValuesFile(path()).all(), (Values{{"a", bytes("1")}, {"c", bytes("3")}}));
}

TEST_F(ValuesOnDisk, AreWrittenAnewBesideAndThenTakeThePlaceOfTheOldFile) {
    ValuesFile values(path());
    ASSERT_TRUE(values.hold("a", ipc::Bytes(16384)));
    std::ifstream before(path());
    for (int i = 0; i < 300; ++i) {
        ASSERT_TRUE(values.hold("a", ipc::Bytes(16384)));
    }

    const std::string seen{std::istreambuf_iterator<char>(before), {}};

    EXPECT_GT(seen.size(), 3U << 20) << "the old file is as long as it became, and was not emptied";
    EXPECT_TRUE(parse_values(seen));
}

TEST_F(ValuesOnDisk, ThatOthersMayWriteOrThatAreRubbishAreRefused) {
    std::ofstream(path()) << "rubbish\n";
    EXPECT_THROW(ValuesFile{path()}, Fatal);
    std::ofstream(path()) << "";
    ASSERT_EQ(::chmod(path().c_str(), 0666), 0);
    EXPECT_THROW(ValuesFile{path()}, Fatal);
}

}  // namespace
}  // namespace iommud::vault
