#include "client/iommuctl/tables.hpp"

#include <gmock/gmock.h>

namespace iommud::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::uint32_t nobody_has_this_uid = 0x70000005;

json edu() {
    return {{"Address", "0000:00:04.0"},
            {"VendorId", 0x1234},
            {"DeviceId", 0x11e8},
            {"Class", 0x00ff00},
            {"Name", "edu"},
            {"IommuGroup", 3},
            {"NumaNode", -1},
            {"Driver", "vfio-pci"},
            {"State", "leased"},
            {"StateReason", ""},
            {"Tainted", false},
            {"Lease", "/org/iommud1/lease/17"},
            {"Capabilities", {"flr"}}};
}

json lease() {
    return {{"Id", 17U},
            {"Account", nobody_has_this_uid},
            {"Holder", nobody_has_this_uid},
            {"HolderPid", 321U},
            {"Mode", "managed"},
            {"Label", "a\x1b[2Jb"},
            {"Devices", {"0000:00:04.0", "0000:00:06.0"}},
            {"MemoryReserved", 12U << 20},
            {"MemoryMapped", 4096U},
            {"State", "active"},
            {"Created", 1700000000000000U}};
}

json manager(const char* kernel) {
    return {{"Version", "0.1.0"},
            {"KernelInterface", kernel},
            {"Features", {"managed"}},
            {"PolicyGeneration", 2U},
            {"Degraded", json::array()}};
}

TEST(Devices, AreALineEach) {
    EXPECT_EQ(devices_text(json::array({edu()}), {}),
              "ADDRESS       ID         GROUP  DRIVER    STATE   LEASE  NAME\n"
              "0000:00:04.0  1234:11e8      3  vfio-pci  leased     17  edu\n");
}

TEST(Devices, WithoutALeaseHaveADash) {
    json device = edu();
    device["Lease"] = "/";
    device["IommuGroup"] = -1;

    EXPECT_EQ(devices_text(json::array({device}), {.legend = false, .colour = false}),
              "0000:00:04.0  1234:11e8  -  vfio-pci  leased  -  edu\n");
}

TEST(Devices, SayWhyTheyAreUnsafe) {
    json device = edu();
    device["State"] = "unsafe";
    device["StateReason"] = "no isolation";

    EXPECT_THAT(device_text(device), HasSubstr("unsafe: no isolation"));
}

TEST(Devices, OfAnotherFormAreShownAsFarAsTheyGo) {
    EXPECT_THAT(devices_text(json::array({json{{"Address", 5}}}), {}), HasSubstr("-"));
    EXPECT_THAT(device_text(json()), HasSubstr("Address"));
}

TEST(Leases, AreALineEachAndPrintable) {
    EXPECT_EQ(
        leases_text(json::array({lease()}), {}),
        "LEASE  ACCOUNT     HOLDER      PID  MODE     STATE   MAPPED  RESERVED  DEVICES                     LABEL\n"
        "   17  1879048197  1879048197  321  managed  active   4 KiB    12 MiB  0000:00:04.0, 0000:00:06.0  "
        "a\\x1b[2Jb\n");
}

TEST(Leases, OfModeDirectSayWhoRefusesMore) {
    json direct = lease();
    direct["Mode"] = "direct";

    EXPECT_THAT(leases_text(json::array({lease(), direct}), {}),
                HasSubstr("\nMode direct: the program maps by itself"));
    EXPECT_THAT(leases_text(json::array({lease(), direct}), {.legend = false}), Not(HasSubstr("Mode direct:")));
    EXPECT_THAT(lease_text(direct), HasSubstr("Memory reserved: 12 MiB: a map of more fails with ENOMEM"));
}

TEST(Leases, ShowAllOfOne) {
    EXPECT_THAT(lease_text(lease()), HasSubstr("Memory reserved: 12 MiB\n"));
    EXPECT_THAT(lease_text(lease()), HasSubstr("Created:         2023-11-1"));
}

TEST(Accounts, ShowWhatIsUsedOfWhat) {
    const json account = {{"Uid", nobody_has_this_uid},
                          {"MemoryLimit", 1U << 30},
                          {"MemoryReserved", 12U << 20},
                          {"MemoryMapped", 0U},
                          {"Leases", 1U},
                          {"LeaseLimit", 16U},
                          {"Devices", 2U},
                          {"DeviceLimit", 4U}};

    EXPECT_EQ(accounts_text(json::array({account}), {}),
              "ACCOUNT     MAPPED  RESERVED  LIMIT   LEASES  DEVICES\n"
              "1879048197     0 B    12 MiB  1 GiB  1 of 16   2 of 4\n");
}

TEST(Status, CountsDevicesByTheirState) {
    json other = edu();
    other["State"] = "available";
    const json objects = {{"devices", {edu(), other, other}}, {"leases", {lease()}}};

    const json status = status_of(manager("iommufd"), objects, "unix:path=/run/iommud/bus");

    EXPECT_EQ(status["Devices"], json({{"available", 2}, {"leased", 1}}));
    EXPECT_EQ(status["Leases"], 1);
    EXPECT_EQ(status["Simulated"], false);
    EXPECT_THAT(status_text(status, {}), HasSubstr("2 available, 1 leased"));
    EXPECT_THAT(status_text(status, {}), Not(HasSubstr("SIMULATED")));
}

TEST(Status, SaysFirstThatTheKernelIsSimulated) {
    const json objects = {{"devices", json::array()}, {"leases", json::array()}};

    const json status = status_of(manager("simulated"), objects, "");

    EXPECT_EQ(status["Simulated"], true);
    EXPECT_EQ(status_text(status, {}).find("SIMULATED KERNEL"), 0U);
}

TEST(Status, SaysWhyTheDaemonIsDegraded) {
    json degraded = manager("iommufd");
    degraded["Degraded"] = {"policy: 10-a.json:3:5: unknown key"};

    EXPECT_EQ(status_text(degraded, {}).find("DEGRADED: policy: 10-a.json:3:5: unknown key\n"), 0U);
}

TEST(Explanation, ShowsTheDecisionAndItsSteps) {
    const json denied = {
        {"Allowed", false},
        {"Decision", "no rule allows it"},
        {"Trace", {{{"rule", "nic"}, {"effect", "allow"}, {"matched", "no"}, {"why", "user"}, {"change", "name it"}}}}};

    EXPECT_EQ(explanation_text(denied, {}),
              "denied: no rule allows it\n"
              "RULE  EFFECT  MATCHED  WHY   TO CHANGE  WHERE\n"
              "nic   allow   no       user  name it    -\n");
}

}  // namespace
}  // namespace iommud::ctl
