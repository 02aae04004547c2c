#include "daemon/vault/files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace iommud::vault {
namespace {

class WholeFile : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = std::filesystem::temp_directory_path() / "iommud-files-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    [[nodiscard]] std::string path() const { return folder_ / "file"; }

  private:
    std::filesystem::path folder_;
};

TEST_F(WholeFile, IsReadToItsLastByte) {
    const std::string text = std::string(300'000, 'x') + "last";
    std::ofstream(path()) << text;

    EXPECT_EQ(read_whole(path()).value(), text);
}

TEST_F(WholeFile, ThatIsNotThereIsEmpty) {
    EXPECT_EQ(read_whole(path()).value(), "");
}

TEST_F(WholeFile, ThatCannotBeReadIsAnErrorAndNotEmpty) {
    ASSERT_EQ(::mkdir(path().c_str(), 0700), 0);
    EXPECT_FALSE(read_whole(path()));
    EXPECT_FALSE(read_whole(path() + "/" + std::string(300, 'x'))) << "a name too long";
}

TEST_F(WholeFile, ThatIsTooLongIsAnErrorAndNotCut) {
    std::ofstream(path()) << "x";
    ASSERT_EQ(::truncate(path().c_str(), (16 << 20) + 1), 0);

    EXPECT_FALSE(read_whole(path()));
}

}  // namespace
}  // namespace iommud::vault
