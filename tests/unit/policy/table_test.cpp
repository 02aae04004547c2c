// Subject × device × mode × rule: each line is one rule alone, one question, one answer.
#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

struct Row {
    const char* says;
    const char* subjects;
    const char* devices;
    const char* modes;
    Subject subject;
    Request request;
    bool allowed;
};

const char* const managed = R"(["managed"])";
const char* const every_mode = R"(["managed", "direct", "legacy"])";
const char* const any_device = R"([{"address": "*"}])";
const char* const for_alice = R"([{"user": "alice"}])";

DeviceFacts without_vendor() {
    DeviceFacts device = nic();
    device.vendor.reset();
    return device;
}
DeviceFacts without_class() {
    DeviceFacts device = nic();
    device.class_code.reset();
    return device;
}
Subject without_pidfd(Subject subject) {
    subject.has_pidfd = false;
    return subject;
}
Subject of_unknown_unit(std::uint32_t uid) {
    Subject subject = user(uid);
    subject.unit.reset();
    return subject;
}

const std::vector<Row> rows{
    // subjects
    {"UserMatches", for_alice, any_device, managed, user(alice), ask({nic()}), true},
    {"AnotherUserDoesNot", for_alice, any_device, managed, user(bob), ask({nic()}), false},
    {"RootIsNobodySpecial", for_alice, any_device, managed, user(0), ask({nic()}), false},
    {"ASubordinateUidIsNotItsOwnerInAnAllow", for_alice, any_device, managed, user(100000), ask({nic()}), false},
    {"GroupOfTheKernelMatches", R"([{"group": "vfio"}])", any_device, managed, user(bob, {vfio}), ask({nic()}), true},
    {"GroupOfTheFileAloneDoesNotMatchAnAllow", R"([{"group": "vfio"}])", any_device, managed, user(alice, {users}),
     ask({nic()}), false},
    {"FirstUidOfARange", R"([{"uids": "2000-2999"}])", any_device, managed, user(2000), ask({nic()}), true},
    {"LastUidOfARange", R"([{"uids": "2000-2999"}])", any_device, managed, user(2999), ask({nic()}), true},
    {"UidBelowARange", R"([{"uids": "2000-2999"}])", any_device, managed, user(1999), ask({nic()}), false},
    {"UidAboveARange", R"([{"uids": "2000-2999"}])", any_device, managed, user(3000), ask({nic()}), false},
    {"RangeOfOne", R"([{"uids": "2000"}])", any_device, managed, user(2000), ask({nic()}), true},
    {"UnitMatches", R"([{"unit": "router.service"}])", any_device, managed, in_unit(bob, "router.service"),
     ask({nic()}), true},
    {"AnotherUnitDoesNot", R"([{"unit": "router.service"}])", any_device, managed, in_unit(bob, "router2.service"),
     ask({nic()}), false},
    {"NoUnitDoesNot", R"([{"unit": "router.service"}])", any_device, managed, user(bob), ask({nic()}), false},
    {"UnknownUnitDoesNot", R"([{"unit": "router.service"}])", any_device, managed, of_unknown_unit(bob), ask({nic()}),
     false},
    {"UnitWithoutPidfdDoesNot", R"([{"unit": "router.service"}])", any_device, managed,
     without_pidfd(in_unit(bob, "router.service")), ask({nic()}), false},
    {"AllKeysOfASubjectMustMatch", R"([{"user": "alice", "group": "vfio"}])", any_device, managed, user(alice),
     ask({nic()}), false},
    {"AllKeysOfASubjectDoMatch", R"([{"user": "alice", "group": "vfio"}])", any_device, managed, user(alice, {vfio}),
     ask({nic()}), true},
    {"OneOfSeveralSubjectsIsEnough", R"([{"user": "bob"}, {"uids": "1000"}])", any_device, managed, user(alice),
     ask({nic()}), true},
    {"UnknownUserIsNobody", R"([{"user": "mallory"}])", any_device, managed, user(bob), ask({nic()}), false},
    {"UnknownUserMakesItsWholeSubjectNobody", R"([{"user": "mallory", "uids": "1001"}])", any_device, managed,
     user(bob), ask({nic()}), false},
    // devices
    {"Address", for_alice, R"([{"address": "0000:81:00.0"}])", managed, user(alice), ask({nic()}), true},
    {"AnotherAddress", for_alice, R"([{"address": "0000:81:00.1"}])", managed, user(alice), ask({nic()}), false},
    {"GlobOfFunctions", for_alice, R"([{"address": "0000:81:00.*"}])", managed, user(alice), ask({nic("0000:81:00.7")}),
     true},
    {"GlobOfFunctionsOfAnotherSlot", for_alice, R"([{"address": "0000:81:00.*"}])", managed, user(alice),
     ask({nic("0000:81:01.0")}), false},
    {"GlobOfOneCharacter", for_alice, R"([{"address": "0000:81:0?.0"}])", managed, user(alice),
     ask({nic("0000:81:0f.0")}), true},
    {"GlobInTheMiddle", for_alice, R"([{"address": "*:81:*.0"}])", managed, user(alice), ask({nic("10000:81:1f.0")}),
     true},
    {"GlobThatMustEnd", for_alice, R"([{"address": "*:81:*.0"}])", managed, user(alice), ask({nic("10000:81:1f.1")}),
     false},
    {"VendorAlone", for_alice, R"([{"vendor": "8086"}])", managed, user(alice), ask({nic()}), true},
    {"VendorAndDevice", for_alice, R"([{"vendor": "8086", "device": "10d3"}])", managed, user(alice), ask({nic()}),
     true},
    {"VendorAndAnotherDevice", for_alice, R"([{"vendor": "8086", "device": "10d4"}])", managed, user(alice),
     ask({nic()}), false},
    {"Subsystem", for_alice, R"([{"subsystem_vendor": "1af4", "subsystem_device": "1100"}])", managed, user(alice),
     ask({nic()}), true},
    {"AnotherSubsystem", for_alice, R"([{"subsystem_vendor": "1af4", "subsystem_device": "1101"}])", managed,
     user(alice), ask({nic()}), false},
    {"BaseClass", for_alice, R"([{"class": "02"}])", managed, user(alice), ask({nic()}), true},
    {"ClassAndSubclass", for_alice, R"([{"class": "0108"}])", managed, user(alice), ask({disk()}), true},
    {"ClassOfAnotherSubclass", for_alice, R"([{"class": "0106"}])", managed, user(alice), ask({disk()}), false},
    {"ClassWithInterface", for_alice, R"([{"class": "010802"}])", managed, user(alice), ask({disk()}), true},
    {"ClassWithAnotherInterface", for_alice, R"([{"class": "010803"}])", managed, user(alice), ask({disk()}), false},
    {"IommuGroup", for_alice, R"([{"iommu_group": 4}])", managed, user(alice), ask({nic()}), true},
    {"AnotherIommuGroup", for_alice, R"([{"iommu_group": 5}])", managed, user(alice), ask({nic()}), false},
    {"Path", for_alice, R"([{"path": "00:1c.4/00.0"}])", managed, user(alice), ask({nic()}), true},
    {"PathWithItsDomain", for_alice, R"([{"path": "0000:00:1c.4/00.0"}])", managed, user(alice), ask({nic()}), true},
    {"PathOfThePortAlone", for_alice, R"([{"path": "00:1c.4"}])", managed, user(alice), ask({nic()}), false},
    {"PathWhereverTheAddressMoved", for_alice, R"([{"path": "00:1c.4/00.0"}])", managed, user(alice),
     ask({nic("0000:a7:00.0")}), true},
    {"Slot", for_alice, R"([{"slot": "5-1"}])", managed, user(alice), ask({nic()}), true},
    {"AnotherSlot", for_alice, R"([{"slot": "5"}])", managed, user(alice), ask({nic()}), false},
    {"Driver", for_alice, R"([{"driver": "vfio-pci"}])", managed, user(alice), ask({nic()}), true},
    {"AnotherDriver", for_alice, R"([{"driver": "mlx5_vfio_pci"}])", managed, user(alice), ask({nic()}), false},
    {"Serial", for_alice, R"([{"serial": "52-54-00-ff-ff-12-34-56"}])", managed, user(alice), ask({nic()}), true},
    {"AnotherSerial", for_alice, R"([{"serial": "52-54-00-ff-ff-12-34-57"}])", managed, user(alice), ask({nic()}),
     false},
    {"SerialOfADeviceThatHasNone", for_alice, R"([{"serial": "52-54-00-ff-ff-12-34-56"}])", managed, user(alice),
     ask({disk()}), false},
    {"AddressWithDashes", for_alice, R"([{"address": "0000-81-00.0"}])", managed, user(alice), ask({nic()}), true},
    {"AddressGlobWithDashes", for_alice, R"([{"address": "0000-81-*"}])", managed, user(alice), ask({nic()}), true},
    {"AllKeysOfADeviceMustMatch", for_alice, R"([{"vendor": "8086", "class": "01"}])", managed, user(alice),
     ask({nic()}), false},
    {"OneOfSeveralDevicesIsEnough", for_alice, R"([{"class": "01"}, {"vendor": "8086"}])", managed, user(alice),
     ask({nic()}), true},
    {"EveryDeviceAskedForMustBeCovered", for_alice, R"([{"class": "02"}])", managed, user(alice), ask({nic(), disk()}),
     false},
    {"OneRuleCoversTwoDevicesByTwoEntries", for_alice, R"([{"class": "01"}, {"class": "02"}])", managed, user(alice),
     ask({nic(), disk()}), true},
    {"UnreadableVendorIsNotAllowed", for_alice, R"([{"vendor": "8086"}])", managed, user(alice),
     ask({without_vendor()}), false},
    {"UnreadableClassIsNotAllowed", for_alice, R"([{"class": "02"}])", managed, user(alice), ask({without_class()}),
     false},
    {"UnreadableVendorDoesNotMatterToARuleByAddress", for_alice, R"([{"address": "0000:81:00.0"}])", managed,
     user(alice), ask({without_vendor()}), true},
    // modes
    {"ManagedWhereManagedIsNamed", for_alice, any_device, managed, user(alice), ask({nic()}), true},
    {"DirectWhereManagedIsNamed", for_alice, any_device, managed, user(alice), ask({nic()}, Mode::direct), false},
    {"DirectWhereItIsNamed", for_alice, any_device, R"(["direct"])", user(alice), ask({nic()}, Mode::direct), true},
    {"ManagedWhereOnlyDirectIsNamed", for_alice, any_device, R"(["direct"])", user(alice), ask({nic()}), false},
    {"LegacyWhereAllAreNamed", for_alice, any_device, every_mode, user(alice), ask({nic()}, Mode::legacy), true},
    {"ManagedWithoutPidfd", for_alice, any_device, every_mode, without_pidfd(user(alice)), ask({nic()}), true},
    {"DirectWithoutPidfd", for_alice, any_device, every_mode, without_pidfd(user(alice)), ask({nic()}, Mode::direct),
     false},
    {"LegacyWithoutPidfd", for_alice, any_device, every_mode, without_pidfd(user(alice)), ask({nic()}, Mode::legacy),
     false},
};

class Table : public testing::TestWithParam<Row> {};

TEST_P(Table, OfOneAllow) {
    const Row& row = GetParam();
    const Policy policy = with_rules(std::string(R"({"id": "r", "effect": "allow", "subjects": )") + row.subjects +
                                     R"(, "devices": )" + row.devices + R"(, "modes": )" + row.modes + "}");

    const Decision decision = evaluate(policy, row.subject, row.request);

    EXPECT_EQ(decision.allowed, row.allowed) << decision.message;
}

INSTANTIATE_TEST_SUITE_P(Rules, Table, testing::ValuesIn(rows),
                         [](const testing::TestParamInfo<Row>& row) { return std::string(row.param.says); });

// Everything to everybody but for one deny: subject × device × mode × deny.
struct DenyRow {
    const char* says;
    const char* rule;  // its subjects, devices and modes
    Subject subject;
    Request request;
    bool denied;
};

const char* const deny_alice = R"("subjects": [{"user": "alice"}])";
const char* const deny_group = R"("subjects": [{"group": "vfio"}])";
const char* const deny_unit = R"("subjects": [{"unit": "ci.service"}])";
const char* const deny_nic = R"("devices": [{"vendor": "8086", "class": "02"}])";

Request with_member(DeviceFacts asked, DeviceFacts member) {
    Request request = ask({std::move(asked)});
    request.group_members.push_back(std::move(member));
    return request;
}

const std::vector<DenyRow> deny_rows{
    // subjects
    {"TheUser", deny_alice, user(alice), ask({nic()}), true},
    {"AnotherUser", deny_alice, user(bob), ask({nic()}), false},
    {"HerSubordinateUid", deny_alice, user(100000), ask({nic()}), true},
    {"TheLastOfHerSubordinateUids", deny_alice, user(165535), ask({nic()}), true},
    {"AnothersSubordinateUid", deny_alice, user(165536), ask({nic()}), false},
    {"AMemberByTheKernel", deny_group, user(bob, {vfio}), ask({nic()}), true},
    {"AMemberByTheFile", deny_group, user(alice, {}), ask({nic()}), true},
    {"NoMember", deny_group, user(bob), ask({nic()}), false},
    {"AMembersSubordinateUid", deny_group, user(100001, {}), ask({nic()}), true},
    {"TheUnit", deny_unit, in_unit(bob, "ci.service"), ask({nic()}), true},
    {"AnotherUnit", deny_unit, in_unit(bob, "vm.service"), ask({nic()}), false},
    {"InNoUnit", deny_unit, user(bob), ask({nic()}), false},
    {"UnknownUnit", deny_unit, of_unknown_unit(bob), ask({nic()}), true},
    {"UnitWithoutPidfd", deny_unit, without_pidfd(in_unit(bob, "vm.service")), ask({nic()}), true},
    {"FirstOfARange", R"("subjects": [{"uids": "1001-1002"}])", user(bob), ask({nic()}), true},
    {"BelowARange", R"("subjects": [{"uids": "1001-1002"}])", user(alice), ask({nic()}), false},
    {"OnlyOneOfTwoKeys", R"("subjects": [{"user": "alice", "unit": "ci.service"}])", user(alice), ask({nic()}), false},
    {"OneOfTwoSubjects", R"("subjects": [{"user": "bob"}, {"user": "alice"}])", user(alice), ask({nic()}), true},
    // devices
    {"EveryDevice", deny_alice, user(alice), ask({disk()}), true},
    {"TheDevice", deny_nic, user(bob), ask({nic()}), true},
    {"AnotherDevice", deny_nic, user(bob), ask({disk()}), false},
    {"OneOfTwoDevices", deny_nic, user(bob), ask({disk(), nic()}), true},
    {"AMemberOfTheGroup", deny_nic, user(bob), with_member(disk(), nic("0000:82:00.0")), true},
    {"AnotherMemberOfTheGroup", deny_nic, user(bob), with_member(disk(), disk("0000:82:00.0")), false},
    {"UnreadableVendor", deny_nic, user(bob), ask({without_vendor()}), true},
    {"UnreadableClass", deny_nic, user(bob), ask({without_class()}), true},
    {"UnreadableVendorOfAMember", deny_nic, user(bob), with_member(disk(), without_vendor()), true},
    {"AddressGlobOfFunctions", R"("devices": [{"address": "0000:81:00.*"}])", user(bob), ask({nic("0000:81:00.7")}),
     true},
    {"AddressGlobOfASlot", R"("devices": [{"address": "0000:81:*"}])", user(bob), ask({nic("0000:81:1f.0")}), true},
    {"AddressGlobOfAnotherBus", R"("devices": [{"address": "0000:81:*"}])", user(bob), ask({nic("0000:82:00.0")}),
     false},
    {"AddressGlobOfADomain", R"("devices": [{"address": "10000:*"}])", user(bob), ask({nic("10000:81:00.0")}), true},
    {"AddressGlobOfAnotherDomain", R"("devices": [{"address": "0000:*"}])", user(bob), ask({nic("10000:81:00.0")}),
     false},
    {"AddressGlobInsideAPart", R"("devices": [{"address": "0000:8*"}])", user(bob), ask({nic("0000:8a:00.0")}), true},
    {"AddressGlobInsideAnotherPart", R"("devices": [{"address": "1*"}])", user(bob), ask({nic("0000:81:00.0")}), false},
    {"UnreadableVendorElsewhereByAddress", R"("devices": [{"address": "0000:00:1f.2", "vendor": "1b36"}])", user(bob),
     ask({without_vendor()}), false},
    // modes
    {"EveryModeWithoutModes", deny_alice, user(alice), ask({nic()}, Mode::legacy), true},
    {"TheMode", R"("modes": ["direct", "legacy"])", user(bob), ask({nic()}, Mode::direct), true},
    {"AnotherMode", R"("modes": ["direct", "legacy"])", user(bob), ask({nic()}), false},
    {"TheModeOfAnotherDevice", R"("modes": ["direct"], "devices": [{"class": "01"}])", user(bob),
     ask({nic()}, Mode::direct), false},
};

class DenyTable : public testing::TestWithParam<DenyRow> {};

TEST_P(DenyTable, OfOneDenyBesideAnAllowOfEverything) {
    const DenyRow& row = GetParam();
    const Policy policy = with_rules(R"({"id": "all", "effect": "allow", "subjects": [{"uids": "0-2147483647"}],
        "devices": [{"address": "*"}], "modes": ["managed", "direct", "legacy"]}, {"id": "no", "effect": "deny", )" +
                                     std::string(row.rule) + "}");

    const Decision decision = evaluate(policy, row.subject, row.request);

    EXPECT_EQ(decision.allowed, !row.denied) << decision.message;
    EXPECT_EQ(decision.rule, row.denied ? "no" : "all");
}

INSTANTIATE_TEST_SUITE_P(Rules, DenyTable, testing::ValuesIn(deny_rows),
                         [](const testing::TestParamInfo<DenyRow>& row) { return std::string(row.param.says); });

}  // namespace
}  // namespace iommud::policy
