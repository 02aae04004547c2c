#include <gmock/gmock.h>

#include <map>

#include "daemon/sandbox/seccomp_list.hpp"

namespace iommud::sandbox {
namespace {

using testing::HasSubstr;

// Parses `text` as the list "main", beside lists that it may include.
Result<Rules> parse(const std::string& text, const std::map<std::string, std::string>& others = {}) {
    return parse_list("main", [&](std::string_view name) -> std::optional<std::string> {
        if (name == "main") {
            return text;
        }
        const auto other = others.find(std::string(name));
        return other == others.end() ? std::nullopt : std::optional(other->second);
    });
}

TEST(SeccompList, ANameAloneIsAllowedAlways) {
    const auto rules = parse("read  # why\n\n# nothing here\nwrite\n");

    ASSERT_TRUE(rules);
    EXPECT_EQ(*rules, (Rules{{"read", {{}}}, {"write", {{}}}}));
}

TEST(SeccompList, ConditionsCompareTheLower32Bits) {
    const auto rules = parse("mmap arg4 == 0xffffffff & arg3 == 34\n");

    ASSERT_TRUE(rules);
    EXPECT_EQ(rules->at("mmap"), (std::set<Alternative>{{{3, 0xffffffff, 34}, {4, 0xffffffff, 0xffffffff}}}));
}

TEST(SeccompList, AMaskComparesItsBits) {
    const auto rules = parse("mmap arg2 mask 0x4 == 0\n");

    ASSERT_TRUE(rules);
    EXPECT_EQ(rules->at("mmap"), (std::set<Alternative>{{{2, 4, 0}}}));
}

TEST(SeccompList, LinesForOneCallAreAlternatives) {
    const auto rules = parse("ioctl arg1 == 1\nioctl arg1 == 2\n");

    ASSERT_TRUE(rules);
    EXPECT_EQ(rules->at("ioctl").size(), 2U);
}

TEST(SeccompList, AllowedAlwaysSwallowsEveryAlternativeInAnyOrder) {
    const auto before = parse("ioctl\nioctl arg1 == 2\n");
    const auto after = parse("ioctl arg1 == 2\nioctl\n");

    ASSERT_TRUE(before && after);
    EXPECT_EQ(*before, (Rules{{"ioctl", {{}}}}));
    EXPECT_EQ(*after, *before);
}

TEST(SeccompList, IncludeAddsAnotherList) {
    const auto rules = parse("include other\nread\n", {{"other", "write\n"}});

    ASSERT_TRUE(rules);
    EXPECT_EQ(rules->size(), 2U);
}

TEST(SeccompList, AListThatIsNotThereIsAnError) {
    EXPECT_THAT(parse("include other\n").error().message, HasSubstr("other.list: no such list"));
}

TEST(SeccompList, ListsThatIncludeEachOtherAreAnError) {
    EXPECT_FALSE(parse("include other\n", {{"other", "include main\n"}}));
}

class BadLine : public testing::TestWithParam<const char*> {};

TEST_P(BadLine, IsAnErrorThatNamesIt) {
    const auto rules = parse(std::string("read\n") + GetParam() + "\n");

    ASSERT_FALSE(rules);
    EXPECT_THAT(rules.error().message, HasSubstr("main.list:2:"));
}

INSTANTIATE_TEST_SUITE_P(SeccompList, BadLine,
                         testing::Values("ioctl arg1", "ioctl arg1 = 2", "ioctl arg6 == 1", "ioctl arg == 1",
                                         "ioctl arg1 == ", "ioctl arg1 == two", "ioctl arg1 == 0x", "ioctl arg1 == -1",
                                         "ioctl arg1 == 0x100000000", "ioctl arg1 == 1 &", "ioctl & arg1 == 1",
                                         "ioctl arg1 == 1 arg2 == 2", "ioctl arg1 == 1 & arg1 == 2",
                                         "ioctl arg1 mask == 1", "ioctl arg1 mask 1 == 2", "include", "include a b"));

}  // namespace
}  // namespace iommud::sandbox
