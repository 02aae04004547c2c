#include "client/iommuctl/command_line.hpp"

#include <gmock/gmock.h>

namespace iommud::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* device = "0000:00:04.0";

template <class V>
V verb_of(std::vector<std::string> arguments) {
    const auto line = parse_command_line(std::move(arguments));
    EXPECT_TRUE(line) << line.error().text;
    return std::get<V>(line.value().verb);
}

int usage_of(std::vector<std::string> arguments) {
    const auto line = parse_command_line(std::move(arguments));
    EXPECT_FALSE(line.has_value());
    EXPECT_FALSE(line.error().text.empty());
    return line.error().exit_code;
}

TEST(CommandLine, KnowsEveryVerb) {
    verb_of<Status>({"status"});
    verb_of<Devices>({"devices"});
    verb_of<Leases>({"leases"});
    verb_of<Accounts>({"accounts"});
    verb_of<Reload>({"reload"});
    verb_of<PolicyShow>({"policy", "show"});
    EXPECT_EQ(verb_of<DeviceShow>({"device", "show", device}).address, device);
    EXPECT_EQ(verb_of<LeaseShow>({"lease", "show", "17"}).lease, 17U);
}

TEST(CommandLine, ReadsWhatARunIsAskedFor) {
    const auto run =
        verb_of<ctl::Run>({"run", "--device", device, "--device", "0000:00:06.0", "--memory", "12MiB", "--mode",
                           "direct", "--label", "vm 1", "--", "qemu", "--json", "--", "{iommu}"});

    EXPECT_THAT(run.devices, ElementsAre(device, "0000:00:06.0"));
    EXPECT_EQ(run.memory, 12U << 20);
    EXPECT_EQ(run.mode, "direct");
    EXPECT_EQ(run.label, "vm 1");
    EXPECT_THAT(run.program, ElementsAre("qemu", "--json", "--", "{iommu}"));
}

TEST(CommandLine, ReadsWhatARevocationIsAskedFor) {
    const auto revoke = verb_of<LeaseRevoke>({"lease", "revoke", "3", "--grace", "5", "--reason", "maintenance"});

    EXPECT_EQ(revoke.lease, 3U);
    EXPECT_EQ(revoke.grace_seconds, 5U);
    EXPECT_EQ(revoke.reason, "maintenance");
}

TEST(CommandLine, ReadsWhatPolicyIsToBeChecked) {
    EXPECT_THAT(verb_of<PolicyCheck>({"policy", "check", "a.json", "b.d"}).paths, ElementsAre("a.json", "b.d"));
    EXPECT_EQ(verb_of<PolicyCheck>({"policy", "check"}).config, "/etc/iommud");
    EXPECT_EQ(verb_of<PolicyCheck>({"policy", "check", "--config", "/srv/iommud"}).config, "/srv/iommud");
    EXPECT_EQ(usage_of({"policy", "check", "--config", "/srv/iommud", "a.json"}), 2);
}

TEST(CommandLine, ReadsWhatAnExplanationIsAskedFor) {
    const auto explain = verb_of<PolicyExplain>({"policy", "explain", "--user", "bob", "--memory", "1GiB", device});

    EXPECT_EQ(explain.user, "bob");
    EXPECT_EQ(explain.memory, 1U << 30);
    EXPECT_THAT(explain.devices, ElementsAre(device));
}

TEST(CommandLine, TakesTheAddressBeforeAndAfterTheVerb) {
    EXPECT_EQ(parse_command_line({"--address", "/a", "status"})->settings.address, "/a");
    EXPECT_EQ(parse_command_line({"lease", "show", "1", "--address", "/a"})->settings.address, "/a");
}

TEST(CommandLine, TakesTheOutputsForm) {
    const auto line = parse_command_line({"devices", "--json", "--no-legend"});

    EXPECT_TRUE(line->settings.json);
    EXPECT_FALSE(line->settings.legend);
    EXPECT_TRUE(parse_command_line({"devices"})->settings.legend);
}

TEST(CommandLine, AnswersHelpAndVersionOnStdout) {
    EXPECT_EQ(usage_of({"--help"}), 0);
    EXPECT_EQ(usage_of({"run", "--help"}), 0);
    EXPECT_EQ(usage_of({"--version"}), 0);
}

TEST(CommandLine, RefusesWhatItDoesNotKnow) {
    EXPECT_EQ(usage_of({}), 2);
    EXPECT_EQ(usage_of({"frobnicate"}), 2);
    EXPECT_EQ(usage_of({"status", "more"}), 2);
    EXPECT_EQ(usage_of({"reload", "--json"}), 2);
    EXPECT_EQ(usage_of({"device", "show", "00:04.0"}), 2);
    EXPECT_EQ(usage_of({"lease", "show", "-1"}), 2);
    EXPECT_EQ(usage_of({"lease", "revoke", "1", "--grace", "100000"}), 2);
    EXPECT_EQ(usage_of({"policy", "explain"}), 2);
    EXPECT_EQ(usage_of({"--address", "unixexec:path=/bin/sh", "status"}), 2);
}

TEST(CommandLine, RefusesARunItCannotDo) {
    EXPECT_EQ(usage_of({"run", "--device", device}), 2);
    EXPECT_EQ(usage_of({"run", "--device", device, "--"}), 2);
    EXPECT_EQ(usage_of({"run", "--device", device, "program"}), 2);
    EXPECT_EQ(usage_of({"run", "--", "program"}), 2);
    EXPECT_EQ(usage_of({"run", "--device", "nonsense", "--", "program"}), 2);
    EXPECT_EQ(usage_of({"run", "--device", device, "--memory", "lots", "--", "program"}), 2);
    EXPECT_EQ(usage_of({"run", "--device", device, "--memory", "0", "--", "program"}), 2);
    EXPECT_EQ(usage_of({"run", "--device", device, "--mode", "own", "--", "program"}), 2);
    EXPECT_EQ(usage_of({"status", "--", "program"}), 2);
}

TEST(CommandLine, RefusesAPlaceholderThatDoesNotExist) {
    const auto line = parse_command_line({"run", "--device", device, "--", "program", "{leese}"});

    ASSERT_FALSE(line.has_value());
    EXPECT_EQ(line.error().exit_code, 2);
    EXPECT_THAT(line.error().text, HasSubstr("{leese}"));
}

}  // namespace
}  // namespace iommud::ctl
