#include "client/iommuctl/placeholders.hpp"

#include <gmock/gmock.h>

namespace iommud::ctl {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const FdNumbers fds{{"lease", 5}, {"device:0000:00:04.0", 7}, {"device:0000:00:06.0", 8}};

Run asking(std::vector<std::string> program, std::string mode = "") {
    return {.devices = {"0000:00:04.0"}, .mode = std::move(mode), .memory = 0, .label = "", .program = program};
}

TEST(Placeholders, BecomeDescriptorNumbers) {
    EXPECT_EQ(expand("{lease}", fds).value(), "5");
    EXPECT_EQ(expand("--fd={device:0000:00:04.0},{device:0000:00:06.0}", fds).value(), "--fd=7,8");
}

TEST(Placeholders, LeaveOtherTextAlone) {
    for (const char* text : {"", "plain", "{", "}", "{}", "{ lease }", "{\"a\": {\"b\": 1}}", "${HOME}", "{Lease}",
                             "{a:b c}", "{device:", "{lease"}) {
        EXPECT_EQ(expand(text, fds).value(), text);
        EXPECT_THAT(placeholder_problem(asking({text})), IsEmpty()) << text;
    }
}

TEST(Placeholders, ADoubledBraceStandsForOne) {
    EXPECT_EQ(expand("{{lease}", fds).value(), "{lease}");
    EXPECT_EQ(expand("{{{lease}", fds).value(), "{5");
    EXPECT_THAT(placeholder_problem(asking({"{{print $1}"})), IsEmpty());
}

TEST(Placeholders, WithoutADescriptorAreSaidByName) {
    EXPECT_EQ(expand("{iommu}", fds).error(), "iommu");
}

TEST(Placeholders, ThatDoNotExistAreAProblem) {
    EXPECT_THAT(placeholder_problem(asking({"prog", "{lesae}"})), HasSubstr("{lesae} is no placeholder"));
    EXPECT_THAT(placeholder_problem(asking({"prog", "{device}"})), HasSubstr("{device} is no placeholder"));
}

TEST(Placeholders, OfADeviceThatIsNotAskedForAreAProblem) {
    EXPECT_THAT(placeholder_problem(asking({"prog", "{device:0000:00:04.0}"})), IsEmpty());
    EXPECT_THAT(placeholder_problem(asking({"prog", "{device:0000:00:05.0}"})), HasSubstr("--device 0000:00:05.0"));
}

TEST(Placeholders, OfAContextNeedTheModeThatGivesOne) {
    EXPECT_THAT(placeholder_problem(asking({"prog", "{iommu}"})), HasSubstr("--mode direct"));
    EXPECT_THAT(placeholder_problem(asking({"prog", "{iommu}"}, "direct")), IsEmpty());
    EXPECT_THAT(placeholder_problem(asking({"prog", "{container}", "{group:3}"}, "legacy")), IsEmpty());
    EXPECT_THAT(placeholder_problem(asking({"prog", "{group:3}"})), HasSubstr("--mode legacy"));
}

TEST(Environment, NamesEveryDescriptor) {
    EXPECT_THAT(
        environment_of(fds),
        testing::UnorderedElementsAre(
            testing::Pair("IOMMUD_LEASE_FD", "5"), testing::Pair("IOMMUD_DEVICE_FDS", "0000:00:04.0=7 0000:00:06.0=8"),
            testing::Pair("IOMMUD_FDS", "lease=5 device:0000:00:04.0=7 device:0000:00:06.0=8")));
}

}  // namespace
}  // namespace iommud::ctl
