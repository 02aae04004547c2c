// Every file of tests/policy/bad and tests/policy/warned against the messages beside it; every file of
// tests/policy/good loads without a warning.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

std::string content(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
}

std::vector<std::string> json_files(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(IOMMUD_SOURCE_DIR "/" + folder)) {
        names.push_back(entry.path().extension() == ".json" ? entry.path().string() : "");
    }
    std::erase(names, "");
    std::sort(names.begin(), names.end());
    return names;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
    std::string name = std::filesystem::path(info.param).stem();
    std::replace_if(
        name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
    return name;
}

std::string all_texts(const Diagnostics& diagnostics) {
    std::string text;
    for (const Diagnostic& diagnostic : diagnostics) {
        text += diagnostic.text() + "\n";
    }
    return text;
}

class BadPolicy : public testing::TestWithParam<std::string> {};

TEST_P(BadPolicy, IsRefusedWithTheMessageBesideIt) {
    const std::filesystem::path path = GetParam();
    const SourceFile file{path.filename(), content(path)};

    const auto policy = load(std::span(&file, 1), machine(), host_total);

    std::string expected = content(std::filesystem::path(path).replace_extension(".expected"));
    const std::string_view of_a_page = "at least a page, 4 KiB";
    if (const auto at = expected.find(of_a_page); at != std::string::npos) {
        expected.replace(at, of_a_page.size(), "at least a page, " + format_bytes(page_size));
    }
    ASSERT_FALSE(policy);
    EXPECT_EQ(all_texts(policy.error()), expected);
}

INSTANTIATE_TEST_SUITE_P(Corpus, BadPolicy, testing::ValuesIn(json_files("tests/policy/bad")), test_name);

class GoodPolicy : public testing::TestWithParam<std::string> {};

TEST_P(GoodPolicy, LoadsWithoutAWarning) {
    const std::filesystem::path path = GetParam();
    const SourceFile file{path.filename(), content(path)};

    const auto policy = load(std::span(&file, 1), machine(), host_total);

    ASSERT_TRUE(policy) << all_texts(policy.error());
    EXPECT_EQ(all_texts(policy->warnings), "");
}

INSTANTIATE_TEST_SUITE_P(Corpus, GoodPolicy, testing::ValuesIn(json_files("tests/policy/good")), test_name);

class WarnedPolicy : public testing::TestWithParam<std::string> {};

TEST_P(WarnedPolicy, LoadsWithTheWarningBesideIt) {
    const std::filesystem::path path = GetParam();
    const SourceFile file{path.filename(), content(path)};

    const auto policy = load(std::span(&file, 1), machine(), host_total);

    ASSERT_TRUE(policy) << all_texts(policy.error());
    EXPECT_EQ(all_texts(policy->warnings), content(std::filesystem::path(path).replace_extension(".expected")));
}

INSTANTIATE_TEST_SUITE_P(Corpus, WarnedPolicy, testing::ValuesIn(json_files("tests/policy/warned")), test_name);

}  // namespace
}  // namespace iommud::policy
