#include <gtest/gtest.h>

#include "daemon/base/bytes.hpp"
#include "daemon/monitor/lease_book.hpp"
#include "daemon/monitor/policy_store.hpp"
#include "policy/load.hpp"

namespace iommud::monitor {
namespace {

constexpr std::uint32_t alice = 1000;
constexpr std::uint32_t bob = 1001;
constexpr std::uint32_t vfio = 44;
constexpr std::uint32_t kvm = 45;

policy::Policy with_accounts(const std::string& accounts) {
    const policy::Names names("alice:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n",
                              "alice:x:1000:\nbob:x:1001:\nvfio:x:44:alice\nkvm:x:45:\n", "");
    auto loaded = policy::load(
        std::vector<policy::SourceFile>{{"a.json", R"({"version": 1, "accounts": [)" + accounts + "]}"}}, names, GiB);
    EXPECT_TRUE(loaded);
    return std::move(*loaded);
}

TEST(LimitsOf, AnAccountByAGroupIsKnownByTheFilesOrByTheLease) {
    const auto policy = with_accounts(R"({"match": {"group": "vfio"}, "memory": "4MiB", "leases": 2, "devices": 3})");
    const Limits limits{.memory = 4 * MiB, .leases = 2, .devices = 3};

    EXPECT_EQ(limits_of(policy, alice, {}), limits);
    EXPECT_EQ(limits_of(policy, bob, {}), Limits{});
    EXPECT_EQ(limits_of(policy, bob, std::vector{vfio}), limits);
    EXPECT_EQ(limits_of(policy, bob, std::vector{kvm}), Limits{});
}

TEST(LimitsOf, AnAccountThatSomebodyElsePaysForHasNone) {
    const auto policy = with_accounts(
        R"({"match": {"user": "alice"}, "memory": "4MiB"}, {"match": {"user": "bob"}, "charge": "alice"})");

    EXPECT_EQ(limits_of(policy, bob, {}), Limits{});
    EXPECT_EQ(limits_of(policy, alice, {}).memory, 4 * MiB);
}

LeaseRecord lease_of(LeaseId id, std::uint32_t account, std::uint32_t group) {
    LeaseRecord record;
    record.id = id;
    record.account_uid = account;
    record.account_groups = {group};
    return record;
}

TEST(LeaseBook, KnowsByWhichGroupsAnAccountHasLeases) {
    LeaseBook leases;
    leases.open(lease_of(1, bob, vfio));
    leases.open(lease_of(2, bob, vfio));
    leases.open(lease_of(3, alice, kvm));

    EXPECT_EQ(leases.groups_of_account(bob), std::vector{vfio});
}

}  // namespace
}  // namespace iommud::monitor
