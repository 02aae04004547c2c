#include "daemon/inventory/simulated_devices.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/inventory/fake_sysfs.hpp"

namespace iommud {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string with_device(std::string_view members) {
    return fmt::format(R"({{"version": 1, "devices": [{{"address": "0000:00:04.0", "vendor": "1234",
                           "device": "11e8", "class": "00ff00"{}}}]}})",
                       members);
}

std::string error_of(std::string_view json) {
    const auto devices = parse_simulated_devices(json);
    return devices ? "no error" : devices.error().message;
}

TEST(SimulatedDevices, TwoAreBuiltIn) {
    const FakeSysfs empty;

    const auto devices = simulated_devices(empty.root());

    ASSERT_TRUE(devices);
    ASSERT_EQ(devices->size(), 2U);
    EXPECT_EQ((*devices)[0].address, at("0000:00:04.0"));
    EXPECT_EQ((*devices)[0].iommu_group, 3);
    EXPECT_EQ((*devices)[1].address, at("0000:00:06.0"));
    EXPECT_EQ((*devices)[1].iommu_group, 4);
    EXPECT_EQ((*devices)[1].vendor, 0x1234);
    EXPECT_EQ((*devices)[1].device, 0x11e8);
    EXPECT_EQ((*devices)[1].class_code, 0x00ff00U);
    EXPECT_TRUE(on_vfio_driver((*devices)[0]));
    EXPECT_EQ(why_unsafe((*devices)[0]), std::nullopt);
}

TEST(SimulatedDevices, AFileHasTheWord) {
    const FakeSysfs directory;
    directory.write("simulated-devices.json",
                    with_device(R"(, "group": 7, "subsystem_vendor": "8086", "numa_node": 1, "name": "a card",
                                   "capabilities": ["sriov", "reset:flr"])"));

    const auto devices = simulated_devices(directory.root());

    ASSERT_TRUE(devices) << devices.error().message;
    ASSERT_EQ(devices->size(), 1U);
    const Device& device = devices->front();
    EXPECT_EQ(device.iommu_group, 7);
    EXPECT_EQ(device.subsystem_vendor, 0x8086);
    EXPECT_EQ(device.subsystem_device, 0);
    EXPECT_EQ(device.numa_node, 1);
    EXPECT_EQ(device.name, "a card");
    EXPECT_EQ(device.driver, "vfio-pci");
    EXPECT_EQ(device.vfio_cdev, "vfio0");
    EXPECT_THAT(device.capabilities, ElementsAre("reset:flr", "sriov"));
}

TEST(SimulatedDevices, OnesThatMayNotBeLeasedCanBeSimulatedToo) {
    const auto no_group = parse_simulated_devices(with_device(""));
    const auto noiommu = parse_simulated_devices(with_device(R"(, "group": 3, "noiommu": true)"));
    const auto host_driver = parse_simulated_devices(with_device(R"(, "group": 3, "driver": "e1000e")"));
    const auto no_driver = parse_simulated_devices(with_device(R"(, "group": 3, "driver": "")"));

    EXPECT_NE(why_unsafe(no_group->front()), std::nullopt);
    EXPECT_NE(why_unsafe(noiommu->front()), std::nullopt);
    EXPECT_FALSE(on_vfio_driver(host_driver->front()));
    EXPECT_FALSE(leaves_group_viable(host_driver->front()));
    EXPECT_FALSE(on_vfio_driver(no_driver->front()));
    EXPECT_TRUE(leaves_group_viable(no_driver->front()));
}

TEST(SimulatedDevices, NoneAreAllowed) {
    EXPECT_TRUE(parse_simulated_devices(R"({"version": 1, "devices": []})")->empty());
}

TEST(SimulatedDevices, WhatIsNotAsItShouldBeIsNamed) {
    EXPECT_EQ(error_of("{"), "not valid JSON");
    EXPECT_EQ(error_of("[]"), "/: expected an object");
    EXPECT_EQ(error_of(R"({"devices": []})"), "/version: missing");
    EXPECT_EQ(error_of(R"({"version": 2, "devices": []})"), "/version: expected 1");
    EXPECT_EQ(error_of(R"({"version": 1})"), "/devices: missing");
    EXPECT_EQ(error_of(R"({"version": 1, "devices": {}})"), "/devices: expected a list of at most 4096 devices");
    EXPECT_EQ(error_of(R"({"version": 1, "devices": [], "extra": 0})"), "/extra: unknown key");
    EXPECT_EQ(error_of(R"({"version": 1, "devices": [7]})"), "/devices/0: expected an object");
    EXPECT_EQ(error_of(R"({"version": 1, "devices": [{"address": "0000:00:04.0"}]})"), "/devices/0/vendor: missing");
    EXPECT_EQ(error_of(with_device(R"(, "colour": "red")")), "/devices/0/colour: unknown key");
    EXPECT_EQ(error_of(with_device(R"(, "group": -1)")), "/devices/0/group: expected a number from 0 to 1000000");
    EXPECT_EQ(error_of(with_device(R"(, "group": 18446744073709551615)")),
              "/devices/0/group: expected a number from 0 to 1000000");
    EXPECT_EQ(error_of(with_device(R"(, "group": "3")")), "/devices/0/group: expected a number from 0 to 1000000");
    EXPECT_EQ(error_of(with_device(R"(, "noiommu": 1)")), "/devices/0/noiommu: expected true or false");
    EXPECT_EQ(error_of(with_device(R"(, "subsystem_vendor": "12345")")),
              "/devices/0/subsystem_vendor: expected a string of one to 4 hexadecimal digits");
    EXPECT_EQ(error_of(with_device(R"(, "capabilities": ["a", 1])")),
              "/devices/0/capabilities: expected a list of printable ASCII strings");
    EXPECT_THAT(error_of(with_device(fmt::format(R"(, "name": "{}")", std::string(256, 'x')))),
                HasSubstr("/devices/0/name: expected a printable"));
    EXPECT_THAT(error_of(with_device(R"(, "name": "a\u0000b")")), HasSubstr("/devices/0/name: expected a printable"));
}

TEST(SimulatedDevices, AnAddressThatIsNoneOrComesTwiceIsNamed) {
    const std::string device = R"({"address": "0000:00:04.0", "vendor": "1", "device": "2", "class": "3"})";

    EXPECT_EQ(error_of(R"({"version": 1, "devices": [{"address": "00:04.0", "vendor": "1", "device": "2",)"
                       R"("class": "3"}]})"),
              "/devices/0/address: expected an address such as 0000:00:04.0");
    EXPECT_EQ(error_of(fmt::format(R"({{"version": 1, "devices": [{0}, {0}]}})", device)),
              "/devices/1/address: 0000:00:04.0 comes twice");
}

TEST(SimulatedDevices, AFileTooLongOrUnreadableIsNamed) {
    const FakeSysfs too_long;
    too_long.write("simulated-devices.json", std::string(1024 * 1024 + 1, ' '));
    const FakeSysfs directory;
    std::filesystem::create_directories(directory.root() / "simulated-devices.json");

    EXPECT_THAT(simulated_devices(too_long.root()).error().message, HasSubstr("longer than 1 MiB"));
    EXPECT_THAT(simulated_devices(directory.root()).error().message, HasSubstr("simulated-devices.json"));
}

TEST(SimulatedDevices, DeepNestingIsRefusedWithoutHarm) {
    EXPECT_EQ(error_of(std::string(500'000, '[')), "not valid JSON");
    EXPECT_EQ(error_of(std::string(400'000, '[') + std::string(400'000, ']')), "/: expected an object");
}

}  // namespace
}  // namespace iommud
