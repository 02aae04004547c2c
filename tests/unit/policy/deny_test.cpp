// A deny wins, cannot be shed, and holds when in doubt.
#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

// Everything to everybody, but for this deny.
Policy all_but(const std::string& deny, const std::string& accounts = "") {
    return good(R"({"version": 1, "accounts": [)" + accounts + R"({"match": {"uids": "0-99999"}, "memory": "1GiB"},
        {"match": {"uids": "200000-299999"}, "memory": "1GiB"}], "rules": [
        {"id": "all", "effect": "allow", "subjects": [{"uids": "0-2147483647"}], "devices": [{"address": "*"}],
         "modes": ["managed", "direct", "legacy"]},
        {"id": "never", "effect": "deny", )" +
                deny + "}]}");
}
const std::string alice_pays = R"({"match": {"user": "alice"}, "memory": "1GiB"},
                                  {"match": {"uids": "100000-199999"}, "charge": "alice"}, )";

bool allowed(const Policy& policy, const Subject& subject, const Request& request = ask({nic()})) {
    return evaluate(policy, subject, request).allowed;
}

TEST(Deny, WinsOverAnAllow) {
    const Policy policy = all_but(R"("devices": [{"address": "0000:00:1f.2"}])");

    const Decision decision = evaluate(policy, user(alice), ask({disk()}));

    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.code, ErrorCode::access_denied);
    EXPECT_EQ(decision.rule, "never");
    EXPECT_EQ(decision.message, "rule never denies alice (uid 1000) 0000:00:1f.2");
    EXPECT_TRUE(allowed(policy, user(alice), ask({nic()})));
}

TEST(Deny, OfOneAskedForDeviceDeniesTheRequest) {
    EXPECT_FALSE(allowed(all_but(R"("devices": [{"class": "01"}])"), user(alice), ask({nic(), disk()})));
}

TEST(Deny, OfAMemberOfTheIommuGroupDeniesTheRequest) {
    const Policy policy = all_but(R"("devices": [{"address": "0000:00:1f.2"}])");
    Request request = ask({nic()});
    request.group_members.push_back(disk());

    const Decision decision = evaluate(policy, user(alice), request);

    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.message,
              "rule never denies alice (uid 1000) 0000:00:1f.2, which shares an IOMMU group with 0000:81:00.0");
}

TEST(Deny, WithoutDevicesIsForEveryDevice) {
    const Policy policy = all_but(R"("subjects": [{"user": "bob"}])");

    EXPECT_FALSE(allowed(policy, user(bob)));
    EXPECT_TRUE(allowed(policy, user(alice)));
}

TEST(Deny, OfAModeLeavesTheOthers) {
    const Policy policy = all_but(R"("modes": ["direct", "legacy"])");

    EXPECT_TRUE(allowed(policy, user(alice), ask({nic()}, Mode::managed)));
    EXPECT_FALSE(allowed(policy, user(alice), ask({nic()}, Mode::direct)));
    EXPECT_FALSE(allowed(policy, user(alice), ask({nic()}, Mode::legacy)));
}

TEST(Deny, WhoseAttributeCannotBeReadMatches) {
    DeviceFacts unreadable;
    unreadable.address = nic().address;

    EXPECT_FALSE(allowed(all_but(R"("devices": [{"vendor": "1b36"}])"), user(alice), ask({unreadable})));
    EXPECT_FALSE(
        allowed(all_but(R"("devices": [{"vendor": "1b36", "device": "0010"}])"), user(alice), ask({unreadable})));
    EXPECT_FALSE(allowed(all_but(R"("devices": [{"subsystem_vendor": "1b36"}])"), user(alice), ask({unreadable})));
    EXPECT_FALSE(allowed(all_but(R"("devices": [{"class": "01"}])"), user(alice), ask({unreadable})));
    EXPECT_FALSE(allowed(all_but(R"("devices": [{"iommu_group": 9}])"), user(alice), ask({unreadable})));
    for (const char* key :
         {R"("path": "00:03.0")", R"("slot": "9")", R"("driver": "nvme")", R"("serial": "00-00-00-00-00-00-00-09")"}) {
        const std::string rest = std::string(R"("devices": [{)") + key + "}]";
        EXPECT_FALSE(allowed(all_but(rest), user(alice), ask({unreadable}))) << key;
        EXPECT_TRUE(allowed(all_but(rest), user(alice), ask({nic()}))) << key;
    }
}

TEST(Deny, WhoseReadableAttributeDiffersDoesNotMatchForTheUnreadableOnes) {
    DeviceFacts half = nic();
    half.class_code.reset();

    EXPECT_TRUE(allowed(all_but(R"("devices": [{"vendor": "1b36", "class": "02"}])"), user(alice), ask({half})));
}

TEST(Deny, ForAUserHoldsForTheUidsOfHerSubuid) {
    const Policy policy = all_but(R"("subjects": [{"user": "bob"}])");

    EXPECT_FALSE(allowed(policy, user(200000)));  // /etc/subuid: 165536 to 231071 are bob's
    EXPECT_FALSE(allowed(policy, user(231071)));
    EXPECT_TRUE(allowed(policy, user(231072)));
}

TEST(Deny, ForAUserHoldsForTheUidsChargedToHer) {
    const Policy policy = all_but(R"("subjects": [{"user": "alice"}])", alice_pays);

    EXPECT_FALSE(allowed(policy, user(100000)));  // hers by /etc/subuid too
    EXPECT_FALSE(allowed(policy, user(199999)));  // bob's by /etc/subuid, but she pays
}

TEST(Deny, ForAUidRangeHoldsForTheSubordinateUidsOfItsUsers) {
    EXPECT_FALSE(allowed(all_but(R"("subjects": [{"uids": "1001-1010"}])"), user(200000)));
}

TEST(Deny, ForASubordinateUidDoesNotHoldForItsOwner) {
    EXPECT_TRUE(allowed(all_but(R"("subjects": [{"uids": "200000-200001"}])"), user(bob)));
}

TEST(Deny, ForAGroupHoldsByTheKernelsGroups) {
    EXPECT_FALSE(allowed(all_but(R"("subjects": [{"group": "vfio"}])"), user(bob, {users, vfio})));
}

TEST(Deny, ForAGroupHoldsForAMemberWhoDroppedIt) {
    const Policy policy = all_but(R"("subjects": [{"group": "vfio"}])");

    EXPECT_FALSE(allowed(policy, user(alice, {})));
    EXPECT_TRUE(allowed(policy, user(bob, {})));
}

TEST(Deny, ForAPrimaryGroupHoldsForWhoDroppedIt) {
    EXPECT_FALSE(allowed(all_but(R"("subjects": [{"group": "users"}])"), user(bob, {})));
}

TEST(Deny, ForAGroupHoldsForTheSubordinateUidsOfItsMembers) {
    EXPECT_FALSE(allowed(all_but(R"("subjects": [{"group": "vfio"}])", alice_pays), user(100005, {})));
}

TEST(Deny, ForAUnitHoldsForThatUnitOnly) {
    const Policy policy = all_but(R"("subjects": [{"unit": "ci.service"}])");

    EXPECT_FALSE(allowed(policy, in_unit(alice, "ci.service")));
    EXPECT_TRUE(allowed(policy, in_unit(alice, "vm.service")));
    EXPECT_TRUE(allowed(policy, in_unit(alice, "")));
}

TEST(Deny, ForAUnitHoldsForWhoseUnitIsNotKnown) {
    const Policy policy = all_but(R"("subjects": [{"unit": "ci.service"}])");
    Subject unknown = user(alice);
    unknown.unit.reset();
    Subject old_kernel = in_unit(alice, "vm.service");
    old_kernel.has_pidfd = false;

    EXPECT_FALSE(allowed(policy, unknown));
    EXPECT_FALSE(allowed(policy, old_kernel));
}

TEST(Deny, ForAUnitAndAUserNeedsBoth) {
    const Policy policy = all_but(R"("subjects": [{"unit": "ci.service", "user": "bob"}])");

    EXPECT_FALSE(allowed(policy, in_unit(bob, "ci.service")));
    EXPECT_TRUE(allowed(policy, in_unit(alice, "ci.service")));
    EXPECT_TRUE(allowed(policy, in_unit(bob, "vm.service")));
}

}  // namespace
}  // namespace iommud::policy
