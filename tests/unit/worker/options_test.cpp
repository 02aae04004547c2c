#include "daemon/worker/options.hpp"

#include <gmock/gmock.h>

namespace iommud::worker {
namespace {

using testing::HasSubstr;

template <class Value>
std::string refusal(const Result<Value>& result) {
    if (result) {
        return "accepted";
    }
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
    return result.error().message;
}

TEST(AcquireOptions, DefaultToManagedWithTheDaemonsMemory) {
    const auto options = parse_acquire_options({});

    ASSERT_TRUE(options);
    EXPECT_EQ(options->mode, Mode::managed);
    EXPECT_FALSE(options->memory);
    EXPECT_EQ(options->label, "");
}

TEST(AcquireOptions, AreReadByKey) {
    const std::vector<Option> given{{"label", "my driver"}, {"memory", std::uint64_t{8192}}, {"mode", "direct"}};

    const auto options = parse_acquire_options(given);

    ASSERT_TRUE(options);
    EXPECT_EQ(options->mode, Mode::direct);
    EXPECT_EQ(options->memory, 8192U);
    EXPECT_EQ(options->label, "my driver");
}

TEST(AcquireOptions, AVfTokenIsALowerCaseUuidAndNeverRepeated) {
    const std::vector<Option> token{{"vf_token", "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"}};
    const std::vector<Option> upper_case{{"vf_token", "BD8D9D2B-5A5F-4F5A-A211-F591514BA1F3"}};
    const std::vector<Option> empty{{"vf_token", ""}};

    EXPECT_EQ(parse_acquire_options(token)->vf_token, "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3");
    EXPECT_EQ(refusal(parse_acquire_options(upper_case)), "option 'vf_token' is no lower-case UUID");
    EXPECT_EQ(refusal(parse_acquire_options(empty)), "option 'vf_token' is no lower-case UUID");
    EXPECT_NE(refusal(parse_explain_options(token)), "accepted");
}

TEST(AcquireOptions, AnUnknownKeyIsNamedWithTheKnownOnes) {
    const std::vector<Option> given{{"size", std::uint64_t{1}}};

    EXPECT_EQ(refusal(parse_acquire_options(given)), "unknown option 'size'; known: mode, memory, label, vf_token");
}

TEST(AcquireOptions, AValueOfTheWrongTypeIsSaidWithBothTypes) {
    const std::vector<Option> text{{"memory", "12MiB"}};
    const std::vector<Option> number{{"mode", std::uint64_t{0}}};
    const std::vector<Option> other{{"label", OtherType{"as"}}};

    EXPECT_EQ(refusal(parse_acquire_options(text)), "option 'memory' is of type 's', expected 't'");
    EXPECT_EQ(refusal(parse_acquire_options(number)), "option 'mode' is of type 't', expected 's'");
    EXPECT_EQ(refusal(parse_acquire_options(other)), "option 'label' is of type 'as', expected 's'");
}

TEST(AcquireOptions, AKeyGivenTwiceIsRefused) {
    const std::vector<Option> given{{"mode", "managed"}, {"mode", "direct"}};

    EXPECT_EQ(refusal(parse_acquire_options(given)), "option 'mode' is given twice");
}

TEST(AcquireOptions, AnUnknownModeIsShown) {
    const std::vector<Option> given{{"mode", "admin"}};

    EXPECT_THAT(refusal(parse_acquire_options(given)), HasSubstr("'admin'"));
}

TEST(AcquireOptions, MemoryBeyondAnyMachineIsRefused) {
    const std::vector<Option> given{{"memory", ~std::uint64_t{0}}};

    EXPECT_THAT(refusal(parse_acquire_options(given)), HasSubstr("18446744073709551615"));
}

TEST(AcquireOptions, ALabelIsShortAndWithoutControlCharacters) {
    const std::vector<Option> longest{{"label", std::string(256, 'x')}};
    const std::vector<Option> longer{{"label", std::string(1024 * 1024, 'x')}};
    const std::vector<Option> newline{{"label", "a\nb"}};

    EXPECT_TRUE(parse_acquire_options(longest));
    EXPECT_THAT(refusal(parse_acquire_options(longer)), HasSubstr("1048576 bytes, at most 256"));
    EXPECT_LT(refusal(parse_acquire_options(longer)).size(), 200U);
    EXPECT_THAT(refusal(parse_acquire_options(newline)), HasSubstr(R"('a\x0ab')"));
}

TEST(ExplainOptions, HaveNoLabel) {
    const std::vector<Option> given{{"label", "x"}};

    EXPECT_EQ(refusal(parse_explain_options(given)), "unknown option 'label'; known: mode, memory");
}

TEST(Subject, IsTheCallerWhenNobodyIsNamed) {
    EXPECT_EQ(parse_subject({}).value(), std::nullopt);
}

TEST(Subject, IsANameOrAUid) {
    EXPECT_EQ(parse_subject(std::vector<Option>{{"user", "alice"}}).value(), "alice");
    EXPECT_EQ(parse_subject(std::vector<Option>{{"user", "2147483647"}}).value(), "2147483647");
}

TEST(Subject, AUidBeyondTheLargestIsRefused) {
    for (const char* uid : {"2147483648", "4294967295", "4294967296", "99999999999999999999999"}) {
        EXPECT_THAT(refusal(parse_subject(std::vector<Option>{{"user", uid}})), HasSubstr(uid));
    }
}

TEST(Subject, AnEmptyNameIsRefused) {
    EXPECT_THAT(refusal(parse_subject(std::vector<Option>{{"user", ""}})), HasSubstr("''"));
}

TEST(NoOptions, TakeNone) {
    EXPECT_TRUE(parse_no_options({}));
    EXPECT_EQ(refusal(parse_no_options(std::vector<Option>{{"x", "y"}})), "unknown option 'x'; known: none");
}

TEST(Addresses, AreReadInOrder) {
    const auto addresses = parse_addresses(std::vector<std::string>{"0000:81:00.1", "0000:00:04.0"});

    ASSERT_TRUE(addresses);
    EXPECT_EQ(addresses->front().text(), "0000:81:00.1");
    EXPECT_EQ(addresses->back().text(), "0000:00:04.0");
}

TEST(Addresses, OneThatIsNoneIsShownEscaped) {
    const auto message = refusal(parse_addresses(std::vector<std::string>{"../../etc/\x01"}));

    EXPECT_EQ(message, R"('../../etc/\x01' is no PCI address; one looks like 0000:81:00.0)");
}

TEST(Addresses, NoneTwiceAndTooManyAreRefused) {
    EXPECT_THAT(refusal(parse_addresses({})), HasSubstr("no device"));
    EXPECT_THAT(refusal(parse_addresses(std::vector<std::string>{"0000:00:04.0", "0000:00:04.0"})), HasSubstr("twice"));
    EXPECT_EQ(refusal(parse_addresses(std::vector<std::string>(33, "0000:00:04.0"))),
              "33 devices were asked for, at most 32 in one request are allowed");
}

TEST(LeaseId, IsTheNumberAfterTheLeasesPath) {
    EXPECT_EQ(lease_id_of("/org/iommud1/lease/17"), 17U);
    EXPECT_EQ(lease_id_of("/org/iommud1/lease/18446744073709551615"), ~LeaseId{0});
}

TEST(LeaseId, OtherPathsNameNoLease) {
    for (const char* path : {"/", "/org/iommud1/lease", "/org/iommud1/lease/", "/org/iommud1/lease/0",
                             "/org/iommud1/lease/017", "/org/iommud1/lease/1x", "/org/iommud1/lease/-1",
                             "/org/iommud1/lease/1/2", "/org/iommud1/lease/18446744073709551616"}) {
        EXPECT_EQ(lease_id_of(path), std::nullopt) << path;
    }
}

}  // namespace
}  // namespace iommud::worker
