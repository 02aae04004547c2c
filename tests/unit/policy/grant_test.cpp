// What a lease gets when a rule covers it: memory, maps, flags, and who pays.
#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

std::string rule(const std::string& id, const std::string& grants = "") {
    return R"({"id": ")" + id +
           R"(", "effect": "allow", "subjects": [{"user": "alice"}], "devices": [{"class": "02"}])" + grants + "}";
}

Decision grant(const std::string& rules, std::optional<std::uint64_t> memory = std::nullopt) {
    return evaluate(with_rules(rules), user(alice), ask({nic()}, Mode::managed, memory));
}

TEST(Grant, WithoutAnAmountIsTheDefaultOf64MiB) {
    EXPECT_EQ(grant(rule("a")).memory, 64 * MiB);
}

TEST(Grant, WithoutAnAmountIsNoMoreThanTheRulesMemory) {
    EXPECT_EQ(grant(rule("a", R"(, "memory": "12MiB")")).memory, 12 * MiB);
}

TEST(Grant, WithoutAnAmountIsNoMoreThanTheAccountsMemory) {
    const Policy policy = good(R"({"version": 1, "accounts": [{"match": {"user": "alice"}, "memory": "10MiB"}],
        "rules": [)" + rule("a") +
                               "]}");

    EXPECT_EQ(evaluate(policy, user(alice), ask({nic()})).memory, 10 * MiB);
}

TEST(Grant, OfAnAmountIsThatAmountInWholePages) {
    EXPECT_EQ(grant(rule("a"), 100 * MiB + 1).memory, 100 * MiB + page_size);
}

TEST(Grant, MayBeMoreThanTheDefaultWhenAskedFor) {
    EXPECT_TRUE(grant(rule("a"), 512 * MiB).allowed);
}

TEST(Grant, AboveTheAccountsLimitIsRefused) {
    const Decision decision = grant(rule("a"), GiB + 1);

    EXPECT_EQ(decision.code, ErrorCode::memory_limit);
    EXPECT_EQ(decision.message, "alice (uid 1000) asked for " + std::to_string((GiB + page_size) / KiB) +
                                    " KiB; the account's limit is 1 GiB");
}

TEST(Grant, WithoutAnAccountIsRefused) {
    const Decision decision =
        evaluate(good(R"({"version": 1, "rules": [)" + rule("a") + "]}"), user(alice), ask({nic()}));

    EXPECT_EQ(decision.code, ErrorCode::access_denied);
    EXPECT_EQ(decision.message, "alice (uid 1000) has no account to charge the lease to");
}

TEST(Grant, OfMoreDevicesThanTheAccountMayHaveIsRefused) {
    const Policy policy = good(R"({"version": 1, "accounts": [{"match": {"user": "alice"}, "memory": "1GiB",
        "devices": 1}], "rules": [)" +
                               rule("a") + "]}");

    const Decision decision = evaluate(policy, user(alice), ask({nic(), nic("0000:82:00.0")}));

    EXPECT_EQ(decision.code, ErrorCode::device_limit);
    EXPECT_EQ(decision.message, "alice (uid 1000) asked for 2 devices; the account's limit is 1");
}

TEST(Grant, OfDirectWithoutPidfdSaysWhatTheKernelLacks) {
    Subject subject = user(alice);
    subject.has_pidfd = false;

    const Decision decision =
        evaluate(with_rules(rule("a", R"(, "modes": ["direct"])")), subject, ask({nic()}, Mode::direct));

    EXPECT_EQ(decision.code, ErrorCode::unsupported_mode);
    EXPECT_EQ(decision.message, "mode direct needs a kernel that gives a pidfd of its peer (6.5 or newer)");
}

TEST(Grant, OfARuleWithMapsIsThatManyMaps) {
    EXPECT_EQ(grant(rule("a", R"(, "maps": 7)")).maps, 7U);
    EXPECT_EQ(grant(rule("a", R"(, "maps": 9000)")).maps, 9000U);
}

TEST(Grant, NamesWhoPays) {
    EXPECT_EQ(grant(rule("a")).account, (Account{.uid = alice, .memory = GiB, .leases = 64, .devices = 64}));
}

TEST(SeveralCoveringRules, NameTheFirstById) {
    EXPECT_EQ(grant(rule("b") + "," + rule("a")).rule, "a");
    EXPECT_EQ(grant(rule("a") + "," + rule("b")).rule, "a");
}

TEST(SeveralCoveringRules, GiveTheSmallestMemoryAsDefault) {
    EXPECT_EQ(grant(rule("a", R"(, "memory": "20MiB")") + "," + rule("b", R"(, "memory": "10MiB")")).memory, 10 * MiB);
}

TEST(SeveralCoveringRules, DoNotTakeAwayWhatOneAloneCovers) {
    const std::string rules = rule("a", R"(, "memory": "20MiB")") + "," + rule("b", R"(, "memory": "10MiB")");

    const Decision decision = grant(rules, 15 * MiB);

    EXPECT_TRUE(decision.allowed);
    EXPECT_EQ(decision.rule, "a");
}

TEST(SeveralCoveringRules, NameTheLargestMemoryWhenNoneIsEnough) {
    const std::string rules = rule("b", R"(, "memory": "20MiB")") + "," + rule("a", R"(, "memory": "10MiB")");

    EXPECT_EQ(grant(rules, 30 * MiB).message,
              "alice (uid 1000) asked for 30 MiB; rule b gives at most 20 MiB to a lease");
}

TEST(SeveralCoveringRules, GiveTheFewestMaps) {
    EXPECT_EQ(grant(rule("a", R"(, "maps": 9)") + "," + rule("b", R"(, "maps": 8)")).maps, 8U);
    EXPECT_EQ(grant(rule("a", R"(, "maps": 9000)") + "," + rule("b")).maps, 4096U);
}

TEST(SeveralCoveringRules, AllowNoResetOnlyTogether) {
    const std::string may = R"(, "allow_no_reset": true)";

    EXPECT_TRUE(grant(rule("a", may)).allow_no_reset);
    EXPECT_TRUE(grant(rule("a", may) + "," + rule("b", may)).allow_no_reset);
    EXPECT_FALSE(grant(rule("a", may) + "," + rule("b")).allow_no_reset);
}

TEST(SeveralCoveringRules, UnclearedMemoryOnlyWhenAllRulesAllowIt) {
    const std::string may = R"(, "allow_uncleared_memory": true)";

    EXPECT_TRUE(grant(rule("a", may)).allow_uncleared_memory);
    EXPECT_TRUE(grant(rule("a", may) + "," + rule("b", may)).allow_uncleared_memory);
    EXPECT_FALSE(grant(rule("a", may) + "," + rule("b")).allow_uncleared_memory);
}

TEST(SeveralCoveringRules, GiveTheVfTokenOfTheFirstById) {
    const std::string one = R"(, "vf_token": "00000000-0000-0000-0000-000000000001")";
    const std::string two = R"(, "vf_token": "00000000-0000-0000-0000-000000000002")";

    EXPECT_EQ(grant(rule("c", two) + "," + rule("b", one) + "," + rule("a")).vf_token,
              "00000000-0000-0000-0000-000000000001");
    EXPECT_EQ(grant(rule("a")).vf_token, std::nullopt);
}

}  // namespace
}  // namespace iommud::policy
