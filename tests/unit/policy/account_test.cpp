#include "policy/account.hpp"

#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

Policy with_accounts(const std::string& accounts) {
    return good(R"({"version": 1, "accounts": [)" + accounts + "]}");
}

const std::string by_all_three = R"(
    {"match": {"user": "alice"}, "memory": "1MiB"},
    {"match": {"uids": "1000-1001"}, "memory": "2MiB"},
    {"match": {"group": "vfio"}, "memory": "3MiB"})";

std::uint64_t memory_of(const Policy& policy, const Subject& subject) {
    return account_of(policy, subject).value_or(Account{}).memory;
}

TEST(AccountOf, IsTheUsersBeforeTheRangesBeforeTheGroups) {
    const Policy policy = with_accounts(by_all_three);

    EXPECT_EQ(memory_of(policy, user(alice, {vfio})), 1 * MiB);
    EXPECT_EQ(memory_of(policy, user(bob, {vfio})), 2 * MiB);
    EXPECT_EQ(memory_of(policy, user(carol, {vfio})), 3 * MiB);
}

TEST(AccountOf, SaysByWhichGroupItIs) {
    const Policy policy = with_accounts(by_all_three);

    EXPECT_EQ(account_of(policy, user(carol, {vfio}))->group, vfio);
    EXPECT_EQ(account_of(policy, user(alice, {vfio}))->group, std::nullopt);
}

TEST(AccountOf, WhoMatchesNoneIsNothing) {
    EXPECT_FALSE(account_of(with_accounts(by_all_three), user(carol, {users})));
    EXPECT_FALSE(account_of(deny_everything(machine(), host_total), user(alice)));
}

TEST(AccountOf, AGroupIsEachMembersOwn) {
    const Policy policy = with_accounts(R"({"match": {"group": "vfio"}, "memory": "3MiB"})");

    EXPECT_EQ(account_of(policy, user(alice, {vfio}))->uid, alice);
    EXPECT_EQ(account_of(policy, user(carol, {vfio}))->uid, carol);
}

TEST(AccountOf, WhoseGroupsHaveSeveralIsNothing) {
    // By /etc/group nobody but carol is in both, and she has her own: the kernel may know of others.
    const Policy policy = with_accounts(R"({"match": {"group": "vfio"}, "memory": "3MiB"},
        {"match": {"group": "kvm"}, "memory": "4MiB"}, {"match": {"user": "carol"}, "memory": "5MiB"})");

    EXPECT_EQ(memory_of(policy, user(bob, {kvm})), 4 * MiB);
    EXPECT_FALSE(account_of(policy, user(bob, {kvm, vfio})));
    EXPECT_EQ(memory_of(policy, user(carol, {kvm, vfio})), 5 * MiB);
}

TEST(AccountOf, AChargedUidIsThePayersWithThePayersLimits) {
    const Policy policy = with_accounts(R"({"match": {"uids": "100000-165535"}, "charge": "alice"},
        {"match": {"user": "alice"}, "memory": "8GiB", "leases": 16, "devices": 4})");

    EXPECT_EQ(account_of(policy, user(100000)), (Account{.uid = alice, .memory = 8 * GiB, .leases = 16, .devices = 4}));
    EXPECT_EQ(account_of(policy, user(alice)), (Account{.uid = alice, .memory = 8 * GiB, .leases = 16, .devices = 4}));
    EXPECT_FALSE(account_of(policy, user(165536)));
}

TEST(AccountOf, ASubordinateUidIsItsOwners) {
    const Policy policy = with_accounts(R"({"match": {"user": "alice"}, "memory": "8GiB"})");

    EXPECT_EQ(account_of(policy, user(100000))->uid, alice);
    EXPECT_EQ(account_of(policy, user(165535))->uid, alice);
    EXPECT_FALSE(account_of(policy, user(165536))) << "bob's, who has none";
    EXPECT_FALSE(account_of(policy, user(400000))) << "nobody's";
}

TEST(AccountOf, ASubordinateUidThatKeepsAGroupIsItsOwners) {
    const Policy policy = with_accounts(R"({"match": {"group": "vfio"}, "memory": "3MiB"})");

    for (const std::uint32_t uid : {100000U, 100001U, 165535U}) {
        EXPECT_EQ(account_of(policy, user(uid, {vfio}))->uid, alice);
        EXPECT_EQ(account_of(policy, user(uid, {}))->uid, alice) << "whom /etc/group has in it";
    }
    EXPECT_EQ(account_of(policy, user(165536, {vfio}))->uid, bob) << "/etc/group does not know all";
}

TEST(AccountOf, AnEntryForTheSubordinateUidItselfGoesBeforeItsOwner) {
    const Policy policy = with_accounts(R"({"match": {"user": "alice"}, "memory": "8GiB"},
        {"match": {"uids": "100000-100009"}, "memory": "1MiB"}, {"match": {"uids": "100010-100019"}, "charge": "carol"},
        {"match": {"group": "kvm"}, "memory": "2MiB"})");

    EXPECT_EQ(account_of(policy, user(100005))->uid, 100005U);
    EXPECT_EQ(memory_of(policy, user(100005)), 1 * MiB);
    EXPECT_EQ(account_of(policy, user(100010))->uid, carol);
    EXPECT_EQ(account_of(policy, user(100020))->uid, alice);
}

TEST(AccountOf, AUidThatSeveralHaveInARangeIsNothing) {
    Policy policy = with_accounts(R"({"match": {"user": "alice"}, "memory": "8GiB"},
        {"match": {"user": "bob"}, "memory": "8GiB"}, {"match": {"group": "vfio"}, "memory": "3MiB"},
        {"match": {"uids": "100001-100001"}, "memory": "1MiB"})");
    policy.names = Names("alice:x:1000:100::\nbob:x:1001:100::\n", "", "alice:100000:10\nbob:100000:10\n");

    EXPECT_FALSE(account_of(policy, user(100000, {vfio})));
    EXPECT_EQ(owner_text(policy, user(100000)), ": /etc/subuid gives uid 100000 to several users");
    EXPECT_EQ(account_of(policy, user(100001))->uid, 100001U) << "an entry of its own says whose";
}

TEST(AccountOf, AContainersRootMayBeASubordinateUid) {
    const Policy policy = with_accounts(R"({"match": {"user": "alice"}, "memory": "8GiB"},
        {"match": {"group": "kvm"}, "memory": "2MiB"})");
    Subject subject = user(100033, {kvm});
    subject.container = Container{"web-1", 100000, {}};

    EXPECT_EQ(account_of(policy, subject)->uid, alice);
    subject.container->payer = 165536;
    EXPECT_FALSE(account_of(policy, subject)) << "the groups of whoever asks are not the owner's";
}

TEST(AccountOf, ATraceSaysWhoseSubordinateUidItIs) {
    const Policy policy = with_accounts(R"({"match": {"user": "alice"}, "memory": "8GiB"})");

    const Decision decision = explain(policy, user(100000), ask({nic()}), TraceScope::own);

    EXPECT_EQ(decision.trace.back().why,
              "alice (uid 1000) pays: 8 GiB of memory, 64 leases, 64 devices at most: /etc/subuid gives uid 100000 "
              "to alice (uid 1000)");
}

TEST(AccountOf, APayerMayHaveHerAccountByGroup) {
    const Policy policy = with_accounts(R"({"match": {"uids": "100000-165535"}, "charge": "alice"},
        {"match": {"group": "vfio"}, "memory": "8GiB"})");

    EXPECT_EQ(account_of(policy, user(100000))->uid, alice);
    EXPECT_EQ(memory_of(policy, user(100000)), 8 * GiB);
}

TEST(AccountOf, ChargeChangesWhoPaysAndNotWhoMay) {
    const Policy policy = good(R"({"version": 1, "accounts": [{"match": {"uids": "100000-165535"}, "charge": "alice"},
        {"match": {"user": "alice"}, "memory": "8GiB"}], "rules": [{"id": "a", "effect": "allow",
        "subjects": [{"user": "alice"}], "devices": [{"address": "*"}]}]})");

    EXPECT_TRUE(evaluate(policy, user(alice), ask({nic()})).allowed);
    EXPECT_FALSE(evaluate(policy, user(100000), ask({nic()})).allowed);
}

TEST(AccountOf, WithoutLeasesAndDevicesHasSixtyFourOfEach) {
    const auto account = account_of(with_accounts(by_all_three), user(alice));

    EXPECT_EQ(account->leases, 64U);
    EXPECT_EQ(account->devices, 64U);
}

TEST(AccountOf, APercentageIsOfTheHostsMemoryInWholePages) {
    EXPECT_EQ(memory_of(with_accounts(R"({"match": {"user": "alice"}, "memory": "25%"})"), user(alice)), 16 * GiB);
    EXPECT_EQ(percent_of(5 * page_size + 1, 50), 2 * page_size);
    EXPECT_EQ(percent_of(~0ULL, 100), ~0ULL & ~(page_size - 1));
}

TEST(HostMemory, IsThreeQuartersUnlessThePolicySaysOtherwise) {
    EXPECT_EQ(good(R"({"version": 1})").host_memory, 48 * GiB);
    EXPECT_EQ(good(R"({"version": 1, "host": {"memory": "10GiB"}})").host_memory, 10 * GiB);
    EXPECT_EQ(deny_everything(machine(), host_total).host_memory, 48 * GiB);
}

}  // namespace
}  // namespace iommud::policy
