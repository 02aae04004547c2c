#include "daemon/worker/text.hpp"

#include <gtest/gtest.h>

namespace iommud::worker {
namespace {

using namespace std::string_literals;

TEST(InQuotes, ShowsControlCharactersQuotesAndForeignBytesAsNumbers) {
    EXPECT_EQ(in_quotes("a'b\\c\n\xff"), R"('a\x27b\x5cc\x0a\xff')");
}

TEST(InQuotes, CutsLongTextAndSaysSo) {
    EXPECT_EQ(in_quotes(std::string(1000, 'x')), "'" + std::string(64, 'x') + "...'");
}

TEST(ValidText, LeavesUtf8AsItIs) {
    EXPECT_EQ(valid_text("käse \xf0\x9f\xa7\x80"), "käse \xf0\x9f\xa7\x80");
}

TEST(ValidText, ReplacesEachByteThatIsNoUtf8) {
    EXPECT_EQ(valid_text("a\xff\x62"), "a?b");          // no leading byte
    EXPECT_EQ(valid_text("\xc3"), "?");                 // cut off
    EXPECT_EQ(valid_text("\xc0\xaf"), "??");            // overlong
    EXPECT_EQ(valid_text("\xed\xa0\x80"), "???");       // a surrogate
    EXPECT_EQ(valid_text("\xf4\x90\x80\x80"), "????");  // beyond the last character
    EXPECT_EQ(valid_text("\xe2\x28\xa1"), "?(?");       // a broken sequence
}

TEST(ValidText, ReplacesNul) {
    EXPECT_EQ(valid_text("a\0b"s), "a?b");
}

TEST(ValidText, CopiesOnlyWhatIsNotPlain) {
    const std::string plain = "plain";
    const std::string other = "k\xc3\xa4se\xff\0"s;
    std::string copy;

    EXPECT_EQ(valid_text(plain, copy), plain.c_str());
    EXPECT_STREQ(valid_text(other, copy), "käse??");
}

}  // namespace
}  // namespace iommud::worker
