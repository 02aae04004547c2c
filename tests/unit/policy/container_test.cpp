// Containers as subjects: by the endpoint they came through, and by annotations, which only ever narrow.
#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

// A container of `payer`'s, in which somebody asks who is everything that its author could make of him.
constexpr std::uint32_t authors_choice = 4711;
Subject in_container(std::uint32_t payer, std::string id, std::map<std::string, std::string> annotations = {}) {
    Subject subject = user(authors_choice, {kvm});
    subject.container = Container{std::move(id), payer, std::move(annotations)};
    return subject;
}

bool given(const std::string& subjects, const Subject& subject) {
    const Policy policy =
        with_rules(R"({"id": "r", "effect": "allow", "devices": [{"address": "*"}], "subjects": )" + subjects + "}");
    return evaluate(policy, subject, ask({nic()})).allowed;
}

bool denied(const std::string& subjects, const Subject& subject) {
    const Policy policy = with_rules(
        R"({"id": "all", "effect": "allow", "devices": [{"address": "*"}], "subjects": [{"uids": "0-2147483647"}, {"endpoint": "*"}]},)"
        R"({"id": "r", "effect": "deny", "subjects": )" +
        subjects + "}");
    return !evaluate(policy, subject, ask({nic()})).allowed;
}

TEST(Endpoint, MatchesItsContainerWhateverTheUid) {
    EXPECT_TRUE(given(R"([{"endpoint": "web-1"}])", in_container(bob, "web-1")));
    EXPECT_TRUE(given(R"([{"endpoint": "web-1"}])", in_container(100033, "web-1")));
}

TEST(Endpoint, MatchesNoOtherContainerAndNotTheHost) {
    EXPECT_FALSE(given(R"([{"endpoint": "web-1"}])", in_container(bob, "web-10")));
    EXPECT_FALSE(given(R"([{"endpoint": "web-1"}])", in_container(bob, "web-")));
    EXPECT_FALSE(given(R"([{"endpoint": "web-1"}])", user(bob)));
    EXPECT_FALSE(given(R"([{"endpoint": "*"}])", user(bob)));
}

TEST(Endpoint, WithAStarMatchesByTheBeginning) {
    EXPECT_TRUE(given(R"([{"endpoint": "web-*"}])", in_container(bob, "web-1")));
    EXPECT_TRUE(given(R"([{"endpoint": "web-*"}])", in_container(bob, "web-")));
    EXPECT_FALSE(given(R"([{"endpoint": "web-*"}])", in_container(bob, "db-1")));
    EXPECT_TRUE(given(R"([{"endpoint": "*"}])", in_container(bob, "db-1")));
}

TEST(Endpoint, IsNamedOrTheRuleIsForTheHostOnly) {
    EXPECT_FALSE(given(R"([{"user": "bob"}])", in_container(bob, "web-1"))) << "its image says that it is bob";
    EXPECT_FALSE(given(R"([{"uids": "0-2147483647"}])", in_container(bob, "web-1")));
    EXPECT_TRUE(given(R"([{"user": "bob"}])", user(bob)));
}

TEST(Endpoint, IsWhatARuleForThePayerLacksAndTheRefusalSaysSo) {
    const Policy policy =
        with_rules(R"({"id": "r", "effect": "allow", "devices": [{"class": "02"}], "subjects": [{"user": "bob"}]})");

    const auto message = [&policy](const Subject& subject, const DeviceFacts& device) {
        return evaluate(policy, subject, ask({device})).message;
    };

    EXPECT_THAT(message(in_container(bob, "web-1"), nic()),
                testing::HasSubstr("; rule r is for its user's processes on the host, and for no container, because it "
                                   "names no \"endpoint\""));
    EXPECT_THAT(message(in_container(bob, "web-1"), disk()), testing::Not(testing::HasSubstr("rule r")));
    EXPECT_THAT(message(in_container(alice, "web-1"), nic()), testing::Not(testing::HasSubstr("rule r")));
    EXPECT_EQ(explain(policy, in_container(bob, "web-1"), ask({nic()}), TraceScope::own).message,
              message(in_container(bob, "web-1"), nic()));
}

TEST(Endpoint, NarrowsAUser) {
    EXPECT_TRUE(given(R"([{"user": "bob", "endpoint": "web-1"}])", in_container(bob, "web-1")));
    EXPECT_FALSE(given(R"([{"user": "bob", "endpoint": "web-1"}])", in_container(alice, "web-1")));
    EXPECT_FALSE(given(R"([{"user": "bob", "endpoint": "web-1"}])", user(bob)));
}

TEST(Endpoint, ThatIsNotKnownIsDeniedAndNotAllowed) {
    Subject on_the_bus = user(bob);
    on_the_bus.container_known = false;

    EXPECT_TRUE(denied(R"([{"endpoint": "web-1"}])", on_the_bus));
    EXPECT_TRUE(denied(R"([{"endpoint": "web-*"}])", on_the_bus));
    EXPECT_TRUE(denied(R"([{"user": "bob", "endpoint": "web-1"}])", on_the_bus));
    EXPECT_FALSE(denied(R"([{"user": "alice", "endpoint": "web-1"}])", on_the_bus));
    EXPECT_FALSE(given(R"([{"endpoint": "*"}])", on_the_bus));
    EXPECT_TRUE(given(R"([{"user": "bob"}])", on_the_bus));
}

TEST(Endpoint, IsDenied) {
    EXPECT_TRUE(denied(R"([{"endpoint": "web-*"}])", in_container(bob, "web-1")));
    EXPECT_TRUE(denied(R"([{"endpoint": "web-1"}])", in_container(bob, "web-1")));
    EXPECT_FALSE(denied(R"([{"endpoint": "web-*"}])", in_container(bob, "db-1")));
    EXPECT_FALSE(denied(R"([{"endpoint": "*"}])", user(bob)));
}

TEST(Endpoint, HasThePayerAsItsUserWhateverUidItsAuthorChose) {
    Subject posing_as_bob = in_container(alice, "web-1");
    posing_as_bob.uid = bob;

    EXPECT_FALSE(given(R"([{"user": "bob", "endpoint": "*"}])", posing_as_bob));
    EXPECT_FALSE(given(R"([{"uids": "1001", "endpoint": "*"}])", posing_as_bob));
    EXPECT_TRUE(given(R"([{"user": "alice", "endpoint": "*"}])", posing_as_bob));
    EXPECT_TRUE(given(R"([{"uids": "1000", "endpoint": "*"}])", posing_as_bob));
}

TEST(Endpoint, HasThePayersGroupsWhateverGroupsItsAuthorChose) {
    EXPECT_FALSE(given(R"([{"group": "kvm", "endpoint": "*"}])", in_container(bob, "web-1")));
    EXPECT_TRUE(given(R"([{"group": "kvm", "endpoint": "*"}])", in_container(carol, "web-1")))
        << "/etc/group has her in kvm";
}

TEST(Endpoint, DeniesWhoItsAuthorSaysItIsAllTheSame) {
    Subject posing_as_bob = in_container(alice, "web-1");
    posing_as_bob.uid = bob;

    EXPECT_TRUE(denied(R"([{"user": "bob"}])", posing_as_bob));
    EXPECT_TRUE(denied(R"([{"user": "alice"}])", posing_as_bob));
    EXPECT_TRUE(denied(R"([{"group": "kvm"}])", posing_as_bob));
}

TEST(Endpoint, ThatARuleLacksIsWhatATraceSays) {
    const Policy policy = with_rules(
        R"({"id": "r", "effect": "allow", "devices": [{"address": "*"}], "subjects": [{"user": "bob", "annotation": "team=storage"}]})");
    const Decision decision =
        explain(policy, in_container(bob, "web-1", {{"team", "storage"}}), ask({nic()}), TraceScope::all);

    EXPECT_THAT(decision.trace.front().why, testing::HasSubstr("only where it names an \"endpoint\""));
    EXPECT_THAT(decision.trace.front().why, testing::HasSubstr("not container web-1 of bob (uid 1001)"));
}

TEST(Annotation, WithoutAnEndpointMatchesNobody) {
    const std::string subjects = R"([{"user": "bob", "annotation": "team=storage"}])";

    EXPECT_FALSE(given(subjects, in_container(bob, "web-1", {{"team", "storage"}})));
    EXPECT_FALSE(given(subjects, user(bob)));
}

TEST(Annotation, NarrowsWhatTheKernelSays) {
    const std::string subjects = R"([{"endpoint": "*", "user": "bob", "annotation": "team=storage"}])";

    EXPECT_TRUE(given(subjects, in_container(bob, "web-1", {{"team", "storage"}, {"x", "y"}})));
    EXPECT_FALSE(given(subjects, in_container(bob, "web-1", {{"team", "net"}})));
    EXPECT_FALSE(given(subjects, in_container(bob, "web-1")));
    EXPECT_FALSE(given(subjects, user(bob)));
    EXPECT_FALSE(given(subjects, in_container(alice, "web-1", {{"team", "storage"}})));
}

TEST(Annotation, EndsAtTheFirstEqualsSign) {
    EXPECT_TRUE(given(R"([{"endpoint": "*", "user": "bob", "annotation": "a=b=c"}])",
                      in_container(bob, "web-1", {{"a", "b=c"}})));
    EXPECT_TRUE(
        given(R"([{"endpoint": "*", "user": "bob", "annotation": "a="}])", in_container(bob, "web-1", {{"a", ""}})));
}

const char* const accounts = R"({"version": 1,
    "accounts": [{"match": {"user": "alice"}, "memory": "1GiB"}, {"match": {"uids": "100000-165535"}, "charge": "alice"},
                 {"match": {"group": "kvm"}, "memory": "2GiB"}, {"match": {"user": "root"}, "memory": "3GiB"}],
    "rules": [{"id": "all", "effect": "allow", "subjects": [{"uids": "0-2147483647"}], "devices": [{"address": "*"}]},
              {"id": "not-bob", "effect": "deny", "subjects": [{"user": "bob"}]}]})";

Subject owned_by(std::uint32_t owner, std::uint32_t uid, std::vector<std::uint32_t> groups = {}) {
    Subject subject = user(uid, std::move(groups));
    subject.container = Container{"web-1", owner, {}};
    return subject;
}

TEST(ContainersAccount, IsItsRootsWhoeverAsks) {
    const Policy policy = good(accounts);

    EXPECT_EQ(account_of(policy, owned_by(0, 33))->uid, 0U);
    EXPECT_EQ(account_of(policy, owned_by(0, alice))->uid, 0U) << "not that of the host's alice";
}

TEST(ContainersAccount, IsThatOfWhoIsChargedForIt) {
    const Policy policy = good(accounts);

    EXPECT_EQ(account_of(policy, owned_by(100000, 100033))->uid, alice);
}

TEST(ContainersAccount, IsNoneForAnOwnerWithoutOne) {
    const Policy policy = good(accounts);

    EXPECT_FALSE(account_of(policy, owned_by(bob, alice)));
    EXPECT_FALSE(account_of(policy, owned_by(first_daemon_uid, alice)));
}

TEST(ContainersAccount, IsNotThatOfAGroupOfWhoeverAsks) {
    const Policy policy = good(accounts);

    EXPECT_FALSE(account_of(policy, owned_by(bob, 33, {kvm}))) << "the process's groups are not its owner's";
    EXPECT_EQ(account_of(policy, owned_by(carol, 33))->uid, carol) << "/etc/group has her in kvm";
}

TEST(ContainersAccount, BringsItsOwnersDeniesWithIt) {
    const Policy policy = good(accounts);

    const Decision decision = evaluate(policy, owned_by(bob, 33), ask({nic()}));

    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.rule, "not-bob");
}

TEST(ContainersAccount, IsTheOneThatATraceTellsOf) {
    const Decision decision = explain(good(accounts), owned_by(100000, 100033), ask({nic()}), TraceScope::all);

    EXPECT_THAT(decision.trace.back().why, testing::HasSubstr("alice (uid 1000) pays"));
    EXPECT_THAT(decision.message, testing::HasSubstr("container web-1 of uid 100000"));
}

}  // namespace
}  // namespace iommud::policy
