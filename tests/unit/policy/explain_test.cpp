#include "policy/show.hpp"
#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

using testing::HasSubstr;

// Line 2 of test.json is the first rule, and so on.
const std::string text = R"({"version": 1, "rules": [
  {"id": "nic", "effect": "allow", "subjects": [{"user": "alice"}], "devices": [{"class": "02"}], "memory": "12MiB"},
  {"id": "disk", "effect": "allow", "subjects": [{"user": "bob"}], "devices": [{"class": "01"}]},
  {"id": "ci", "effect": "deny", "subjects": [{"unit": "ci.service"}], "devices": [{"address": "0000:81:00.0"}]}
], "accounts": [
  {"match": {"user": "alice"}, "memory": "1GiB"},
  {"match": {"user": "bob"}, "memory": "1GiB"}
]})";

TraceEntry entry(const Decision& decision, std::size_t number) {
    return decision.trace.at(number);
}

TEST(Explain, ToAnAdministratorShowsEachRuleWithItsPlaceThenTheAccount) {
    const Decision decision = explain(good(text), user(alice), ask({nic()}), TraceScope::all);

    ASSERT_EQ(decision.trace.size(), 4U);
    EXPECT_EQ(entry(decision, 0).where, "test.json:2");
    EXPECT_EQ(entry(decision, 0).matched, true);
    EXPECT_EQ(entry(decision, 0).why, "subject, devices, mode and memory match");
    EXPECT_EQ(entry(decision, 1).where, "test.json:3");
    EXPECT_EQ(entry(decision, 1).why, "it is for user bob, not alice (uid 1000)");
    EXPECT_EQ(entry(decision, 1).change, "name the subject in the rule's subjects");
    EXPECT_EQ(entry(decision, 2).effect, "deny");
    EXPECT_EQ(entry(decision, 2).matched, false);
    EXPECT_EQ(entry(decision, 3).effect, "account");
    EXPECT_EQ(entry(decision, 3).where, "test.json:6");
    EXPECT_EQ(entry(decision, 3).why, "alice (uid 1000) pays: 1 GiB of memory, 64 leases, 64 devices at most");
}

TEST(Explain, ToTheSubjectShowsOnlyRulesAboutIt) {
    const Decision decision = explain(good(text), user(alice), ask({nic()}), TraceScope::own);

    ASSERT_EQ(decision.trace.size(), 2U);
    EXPECT_EQ(entry(decision, 0).rule, "nic");
    EXPECT_EQ(entry(decision, 1).effect, "account");
}

TEST(Explain, ToTheSubjectShowsOfManyRulesTheNearestAndCountsTheRest) {
    std::string rules;
    for (int i = 0; i < 100; ++i) {
        rules += R"({"id": "r)" + std::to_string(i) + R"(", "effect": "allow", "subjects": [{"user": "alice"}], )" +
                 R"("devices": [{"class": ")" + (i == 70 ? "02" : "01") + "\"}]},";
    }
    rules.pop_back();

    const Decision decision = explain(with_rules(rules), user(alice), ask({nic()}), TraceScope::own);

    ASSERT_EQ(decision.trace.size(), 34U);
    EXPECT_EQ(entry(decision, 0).rule, "r0");
    EXPECT_EQ(entry(decision, 31).rule, "r70");
    EXPECT_TRUE(entry(decision, 31).matched);
    EXPECT_EQ(entry(decision, 32).why, "and 68 more rules about you, further off");
    EXPECT_EQ(explain(with_rules(rules), user(alice), ask({nic()}), TraceScope::all).trace.size(), 101U);
}

TEST(Explain, ADeviceThatIsNotTheRulesSaysWhatWouldHaveToChange) {
    const Decision decision = explain(good(text), user(alice), ask({disk()}), TraceScope::own);

    EXPECT_EQ(entry(decision, 0).matched, false);
    EXPECT_EQ(entry(decision, 0).why, "its devices are class 02, not 0000:00:1f.2");
    EXPECT_EQ(entry(decision, 0).change, "name 0000:00:1f.2 in the rule's devices");
}

TEST(Explain, AModeThatIsNotTheRulesSaysWhatWouldHaveToChange) {
    const Decision decision = explain(good(text), user(alice), ask({nic()}, Mode::direct), TraceScope::own);

    EXPECT_EQ(entry(decision, 0).why, "it does not give mode direct");
    EXPECT_EQ(entry(decision, 0).change, R"(add "direct" to the rule's modes, or ask for another mode)");
}

TEST(Explain, TooMuchMemorySaysWhatWouldHaveToChange) {
    const Decision decision = explain(good(text), user(alice), ask({nic()}, Mode::managed, 13 * MiB), TraceScope::own);

    EXPECT_EQ(entry(decision, 0).why, "it gives at most 12 MiB to a lease");
    EXPECT_EQ(entry(decision, 0).change, "raise the rule's memory, or ask for 12 MiB or less");
}

TEST(Explain, ADenyThatMatchesSaysOnWhichDevice) {
    const Decision decision = explain(good(text), in_unit(alice, "ci.service"), ask({nic()}), TraceScope::own);

    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(entry(decision, 1).matched, true);
    EXPECT_EQ(entry(decision, 1).why, "subject and 0000:81:00.0 match");
}

TEST(Explain, WhoHasNoAccountIsToldSo) {
    const Decision decision = explain(good(text), user(carol), ask({nic()}), TraceScope::own);

    EXPECT_EQ(entry(decision, 0).matched, false);
    EXPECT_THAT(entry(decision, 0).why, HasSubstr("carol (uid 1002) has no account"));
}

TEST(Explain, AnEntryIsAMapOfSixTexts) {
    TraceEntry one;
    one.rule = "nic";
    one.effect = "allow";
    one.matched = true;
    one.why = "w";
    one.where = "a.json:1";
    one.change = "c";

    EXPECT_EQ(std::move(one).texts(), (ipc::Texts{{"rule", "nic"},
                                                  {"effect", "allow"},
                                                  {"matched", "yes"},
                                                  {"why", "w"},
                                                  {"where", "a.json:1"},
                                                  {"change", "c"}}));
}

TEST(Evaluate, CarriesNoTrace) {
    EXPECT_TRUE(evaluate(good(text), user(alice), ask({nic()})).trace.empty());
}

TEST(Show, IsThePolicyMergedWithPercentagesResolved) {
    const std::vector<SourceFile> files{{"b.json", R"({"version": 1, "host": {"memory": "50%"}, "accounts": [
 {"match": {"user": "alice"}, "memory": "25%", "leases": 16},
 {"match": {"uids": "100000-165535"}, "charge": "alice"}]})"},
                                        {"a.json", R"({"version": 1, "rules": [
 {"id": "z", "effect": "allow", "subjects": [{"user": "alice"}, {"unit": "a.service", "uids": "5"}],
  "devices": [{"class": "02"}], "memory": "12MiB", "maps": 7, "allow_no_reset": true,
  "vf_token": "00000000-0000-0000-0000-000000000001"},
 {"id": "d", "effect": "deny", "modes": ["direct", "legacy"]}]})"}};
    const auto policy = load(files, machine(), host_total);
    ASSERT_TRUE(policy);

    EXPECT_THAT(
        show(*policy),
        testing::ElementsAre(
            ShownEntry{"host", "", "32 GiB for all accounts together", "b.json:1"},
            ShownEntry{"account", "uids 100000-165535", "charged to alice (uid 1000): 16 GiB, 16 leases, 64 devices",
                       "b.json:3"},
            ShownEntry{"account", "user alice", "16 GiB, 16 leases, 64 devices", "b.json:2"},
            ShownEntry{"deny", "d", "everybody: every device; modes direct, legacy", "a.json:5"},
            ShownEntry{"allow", "z",
                       "(user alice) or (uids 5, unit a.service): class 02; modes managed; at most 12 MiB; at most 7 "
                       "maps; also without reset; with a VF token",
                       "a.json:2"}));
}

TEST(Show, OfAnEmptyPolicyIsTheHostsDefault) {
    EXPECT_THAT(show(deny_everything(machine(), host_total)),
                testing::ElementsAre(ShownEntry{"host", "", "48 GiB for all accounts together", ""}));
}

}  // namespace
}  // namespace iommud::policy
