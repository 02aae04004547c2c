#include "policy/evaluate.hpp"

#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

using testing::HasSubstr;

constexpr const char* nic_for_alice =
    R"({"id": "nic", "effect": "allow", "subjects": [{"user": "alice"}], "devices": [{"address": "0000:81:00.*"}],
        "memory": "12MiB"})";

TEST(Decision, ItsZeroValueDenies) {
    const Decision decision;

    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.code, ErrorCode::access_denied);
}

TEST(Evaluate, WithoutAPolicyEverybodyIsDenied) {
    const Decision decision = evaluate(deny_everything(machine(), host_total), user(0), ask({nic()}));

    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.message, "root (uid 0) has no rule for 0000:81:00.0");
}

TEST(Evaluate, AMatchingAllowGivesWhatTheRuleSays) {
    const Decision decision = evaluate(with_rules(nic_for_alice), user(alice), ask({nic()}, Mode::managed, 8 * MiB));

    EXPECT_TRUE(decision.allowed) << decision.message;
    EXPECT_EQ(decision.rule, "nic");
    EXPECT_EQ(decision.memory, 8 * MiB);
    EXPECT_EQ(decision.maps, 4096U);
    EXPECT_FALSE(decision.allow_no_reset);
}

TEST(Evaluate, WhoHasNoRuleIsToldWhatIsMissing) {
    const Decision decision = evaluate(with_rules(nic_for_alice), user(bob), ask({nic()}));

    EXPECT_EQ(decision.code, ErrorCode::access_denied);
    EXPECT_EQ(decision.message, "bob (uid 1001) has no rule for 0000:81:00.0");
}

TEST(Evaluate, ARefusalDoesNotSpeakOfOthersRules) {
    const Decision decision = explain(with_rules(nic_for_alice), user(bob), ask({nic()}), TraceScope::own);

    EXPECT_THAT(decision.message, testing::Not(HasSubstr("alice")));
    ASSERT_EQ(decision.trace.size(), 1U);
    EXPECT_EQ(decision.trace[0].effect, "account");
}

TEST(Evaluate, ADeviceOutsideTheRuleIsNamed) {
    const Decision decision = evaluate(with_rules(nic_for_alice), user(alice), ask({nic(), disk()}));

    EXPECT_EQ(decision.message, "alice (uid 1000) has no rule for 0000:00:1f.2");
}

TEST(Evaluate, TwoRulesForADeviceEachDoNotCoverBothTogether) {
    const Policy policy = with_rules(std::string(nic_for_alice) + R"(, {"id": "disk", "effect": "allow",
        "subjects": [{"user": "alice"}], "devices": [{"class": "0108"}]})");

    const Decision both = evaluate(policy, user(alice), ask({nic(), disk()}));

    EXPECT_TRUE(evaluate(policy, user(alice), ask({nic()})).allowed);
    EXPECT_TRUE(evaluate(policy, user(alice), ask({disk()})).allowed);
    EXPECT_FALSE(both.allowed);
    EXPECT_EQ(both.message,
              "alice (uid 1000) has no one rule for 0000:81:00.0 and 0000:00:1f.2 together: ask for them one by one");
}

TEST(Evaluate, ARuleWithoutModesGivesManagedOnly) {
    const Decision decision = evaluate(with_rules(nic_for_alice), user(alice), ask({nic()}, Mode::direct));

    EXPECT_EQ(decision.code, ErrorCode::access_denied);
    EXPECT_EQ(decision.message, "alice (uid 1000) may have 0000:81:00.0 in mode managed, not direct");
}

TEST(Evaluate, ARulesMemoryIsTheMostALeaseMayReserve) {
    const Policy policy = with_rules(nic_for_alice);

    const Decision decision = evaluate(policy, user(alice), ask({nic()}, Mode::managed, 12 * MiB + 1));

    EXPECT_TRUE(evaluate(policy, user(alice), ask({nic()}, Mode::managed, 12 * MiB)).allowed);
    EXPECT_EQ(decision.code, ErrorCode::memory_limit);
    EXPECT_EQ(decision.message, "alice (uid 1000) asked for " + std::to_string((12 * MiB + page_size) / KiB) +
                                    " KiB; rule nic gives at most 12 MiB to a lease");
}

TEST(Evaluate, AnOverflowingAmountOfMemoryIsRefused) {
    const Decision decision = evaluate(with_rules(nic_for_alice), user(alice), ask({nic()}, Mode::managed, ~0ULL));

    EXPECT_EQ(decision.code, ErrorCode::memory_limit);
}

TEST(Evaluate, AskingForNothingIsInvalid) {
    EXPECT_EQ(evaluate(with_rules(nic_for_alice), user(alice), ask({})).code, ErrorCode::invalid_argument);
}

TEST(Evaluate, TheDaemonsOwnUidsGetNothingWhateverTheRulesSay) {
    const Policy policy = with_rules(R"({"id": "all", "effect": "allow", "subjects": [{"uids": "0-2147483647"}],
        "devices": [{"address": "*"}]})");

    EXPECT_TRUE(evaluate(policy, user(first_daemon_uid - 1), ask({nic()})).allowed);
    EXPECT_FALSE(evaluate(policy, user(first_daemon_uid), ask({nic()})).allowed);
    EXPECT_EQ(evaluate(policy, user(first_daemon_uid), ask({nic()})).message,
              "uid 1879048192 is no user's: it gets nothing");
    EXPECT_FALSE(evaluate(policy, user(0xffffffff), ask({nic()})).allowed);
    EXPECT_FALSE(account_of(policy, user(first_daemon_uid)));
}

}  // namespace
}  // namespace iommud::policy
