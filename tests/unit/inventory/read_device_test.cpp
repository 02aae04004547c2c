#include "daemon/inventory/read_device.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/inventory/fake_sysfs.hpp"

namespace iommud {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* edu = "0000:00:04.0";

Device read(const FakeSysfs& sysfs) {
    return read_device(SysfsReader(sysfs.root()), at(edu)).value();
}

TEST(ReadDevice, ReadsWhatSysfsSays) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.bind_vfio(edu, "vfio7");
    sysfs.set(edu, "numa_node", "1\n");

    const Device device = read(sysfs);

    EXPECT_EQ(device.address, at(edu));
    EXPECT_EQ(device.vendor, 0x1234);
    EXPECT_EQ(device.device, 0x11e8);
    EXPECT_EQ(device.subsystem_vendor, 0x1af4);
    EXPECT_EQ(device.subsystem_device, 0x1100);
    EXPECT_EQ(device.class_code, 0x00ff00U);
    EXPECT_EQ(device.iommu_group, 3);
    EXPECT_EQ(device.driver, "vfio-pci");
    EXPECT_EQ(device.numa_node, 1);
    EXPECT_EQ(device.vfio_cdev, "vfio7");
    EXPECT_TRUE(device.cdev_node);
    EXPECT_FALSE(device.bridge_or_port);
    EXPECT_THAT(device.unreadable, IsEmpty());
    EXPECT_EQ(why_unsafe(device), std::nullopt);
}

TEST(ReadDevice, ADeviceThatIsNotThereIsNone) {
    const FakeSysfs sysfs;

    EXPECT_EQ(read_device(SysfsReader(sysfs.root()), at(edu)), std::nullopt);
}

TEST(ReadDevice, ADeviceWhoseLinkLeadsNowhereIsNone) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    std::filesystem::remove_all(sysfs.root() / "devices");

    EXPECT_EQ(read_device(SysfsReader(sysfs.root()), at(edu)), std::nullopt);
}

TEST(ReadDevice, MissingAndSenselessAttributesAreAbsentAndNamed) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.unset(edu, "vendor");
    sysfs.set(edu, "device", "0x11e8 \n");
    sysfs.set(edu, "subsystem_vendor", "0x12345\n");
    sysfs.set(edu, "subsystem_device", "");
    sysfs.set(edu, "class", "0x1000000\n");
    sysfs.set(edu, "numa_node", "one\n");

    const Device device = read(sysfs);

    EXPECT_EQ(device.vendor, std::nullopt);
    EXPECT_EQ(device.device, std::nullopt);
    EXPECT_EQ(device.subsystem_vendor, std::nullopt);
    EXPECT_EQ(device.subsystem_device, std::nullopt);
    EXPECT_EQ(device.class_code, std::nullopt);
    EXPECT_EQ(device.numa_node, -1);
    EXPECT_THAT(device.unreadable, ElementsAre("vendor", "device", "subsystem_vendor", "subsystem_device", "class"));
}

TEST(ReadDevice, ADirectoryInThePlaceOfEveryAttributeIsSurvived) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, -1);
    for (const char* name : {"vendor", "device", "subsystem_vendor", "subsystem_device", "class", "numa_node", "driver",
                             "iommu_group", "reset_method", "sriov_totalvfs", "boot_vga"}) {
        sysfs.unset(edu, name);
        std::filesystem::create_directories(sysfs.root() / "bus/pci/devices" / edu / name);
    }

    const Device device = read(sysfs);

    EXPECT_EQ(device.unreadable.size(), 11U);
    EXPECT_THAT(why_unsafe(device).value_or(""), HasSubstr("cannot be read"));
    EXPECT_FALSE(leaves_group_viable(device));
}

TEST(ReadDevice, AnUnreadableDriverIsNotNoDriver) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    const bool without_driver = leaves_group_viable(read(sysfs));
    sysfs.set(edu, "driver", "a file where a link should be");

    const Device device = read(sysfs);

    EXPECT_TRUE(without_driver);
    EXPECT_EQ(device.driver, "");
    EXPECT_FALSE(device.could_read("driver"));
    EXPECT_FALSE(leaves_group_viable(device));
}

TEST(ReadDevice, AGroupThatIsNoNumberMakesItUnsafe) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, -1);
    sysfs.link(edu, "iommu_group", sysfs.root() / "kernel/iommu_groups/three");

    const Device device = read(sysfs);

    EXPECT_EQ(device.iommu_group, -1);
    EXPECT_THAT(why_unsafe(device).value_or(""), HasSubstr("cannot be read"));
}

TEST(ReadDevice, NoGroupMakesItUnsafe) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, -1);
    sysfs.bind_vfio(edu, "vfio0");

    EXPECT_EQ(why_unsafe(read(sysfs)), "0000:00:04.0 has no IOMMU group");
}

TEST(ReadDevice, ANoiommuNodeMakesItUnsafe) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.bind_vfio(edu, "noiommu-vfio0");

    EXPECT_THAT(why_unsafe(read(sysfs)).value_or(""), HasSubstr("noiommu mode"));
}

TEST(ReadDevice, AMakeBelieveGroupOfVfioMakesItUnsafe) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.bind(edu, "vfio-pci");
    sysfs.write("kernel/iommu_groups/3/name", "vfio-noiommu\n");

    const Device device = read(sysfs);

    EXPECT_TRUE(device.noiommu_group);
    EXPECT_THAT(why_unsafe(device).value_or(""), HasSubstr("noiommu mode"));
}

TEST(ReadDevice, AGroupWithAnotherNameIsAGroup) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.write("kernel/iommu_groups/3/name", "smmu3x3\n");

    EXPECT_EQ(why_unsafe(read(sysfs)), std::nullopt);
}

TEST(ReadDevice, ABridgeIsHarmlessInItsGroupAndNeverLeased) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.set(edu, "class", "0x060400\n");
    sysfs.bind(edu, "pcieport");

    const Device device = read(sysfs);

    EXPECT_TRUE(device.bridge_or_port);
    EXPECT_TRUE(leaves_group_viable(device));
    EXPECT_EQ(why_unsafe(device), "0000:00:04.0 is a bridge or a port");
}

TEST(ReadDevice, AnEventCollectorOnThePortDriverIsAPort) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.set(edu, "class", "0x080700\n");
    sysfs.bind(edu, "pcieport");

    EXPECT_TRUE(read(sysfs).bridge_or_port);
}

TEST(ReadDevice, AHostBridgeIsNotTakenForAHarmlessOne) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.set(edu, "class", "0x060000\n");
    sysfs.bind(edu, "agpgart-intel");

    EXPECT_FALSE(leaves_group_viable(read(sysfs)));
}

TEST(ReadDevice, AVfioDriverIsKnownByItsDirectoryWhateverItsName) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.bind(edu, "vendors-own");
    const bool before = on_vfio_driver(read(sysfs));
    sysfs.set(edu, "vfio-dev/vfio0/power/control", "on\n");

    const Device device = read(sysfs);

    EXPECT_FALSE(before);
    EXPECT_TRUE(on_vfio_driver(device));
    EXPECT_EQ(device.vfio_cdev, "vfio0");
    EXPECT_FALSE(device.cdev_node);  // a kernel without VFIO_DEVICE_CDEV has the directory and no node
}

TEST(ReadDevice, VfioPciWithoutADirectoryIsAVfioDriver) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.bind(edu, "vfio-pci");

    const Device device = read(sysfs);

    EXPECT_TRUE(on_vfio_driver(device));
    EXPECT_EQ(device.vfio_cdev, "");
    EXPECT_EQ(why_unsafe(device), std::nullopt);
}

TEST(ReadDevice, CapabilitiesAreSorted) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.set(edu, "reset_method", "flr  bus\n");
    sysfs.set(edu, "sriov_totalvfs", "7\n");
    sysfs.set(edu, "max_link_speed", "8.0 GT/s PCIe\n");
    sysfs.set(edu, "boot_vga", "1\n");
    sysfs.link(edu, "physfn", sysfs.root());

    EXPECT_THAT(read(sysfs).capabilities, ElementsAre("boot_vga", "pcie", "reset:bus", "reset:flr", "sriov", "vf"));
}

TEST(ReadDevice, ResetWithoutMethodsIsForKernelsThatDoNotNameThem) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.set(edu, "reset", "");
    sysfs.set(edu, "sriov_totalvfs", "0\n");
    sysfs.set(edu, "boot_vga", "0\n");

    EXPECT_THAT(read(sysfs).capabilities, ElementsAre("reset"));
}

TEST(ReadDevice, AVirtualFunctionOnAnotherBusHasNoPath) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.link(edu, "physfn", sysfs.root() / "0000:00:02.0");
    const std::string beside_it = read(sysfs).path;
    std::filesystem::remove(sysfs.root() / "bus/pci/devices" / edu / "physfn");
    sysfs.link(edu, "physfn", sysfs.root() / "0000:01:00.0");

    EXPECT_EQ(beside_it, "00:04.0");
    EXPECT_EQ(read(sysfs).path, "");
}

TEST(ReadDevice, AnEmptyListOfMethodsIsNoReset) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.set(edu, "reset", "");
    sysfs.set(edu, "reset_method", "\n");

    EXPECT_THAT(read(sysfs).capabilities, ElementsAre());
}

TEST(ReadDevice, OneWithoutAResetOfItsOwnIsResetWithTheBusBelowItsBridge) {
    const FakeSysfs sysfs;
    const std::filesystem::path below = std::filesystem::path("devices/pci0000:00/0000:00:1c.4") / edu;
    sysfs.write(below / "vendor", "0x8086\n");
    std::filesystem::create_directories(sysfs.root() / "bus/pci/devices");
    std::filesystem::create_directory_symlink("../../.." / below, sysfs.root() / "bus/pci/devices" / edu);

    EXPECT_THAT(read(sysfs).capabilities, ElementsAre("bus_reset"));
    sysfs.write(below / "reset_method", "flr\n");
    EXPECT_THAT(read(sysfs).capabilities, ElementsAre("reset:flr"));
}

TEST(ReadDevice, NamesFromTheKernelArePrintable) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.bind(edu, "dri\nver\xff");

    EXPECT_EQ(read(sysfs).driver, "dri?ver?");
    EXPECT_EQ(printable(std::string(300, 'x')).size(), 255U);
}

TEST(ParseAttribute, HexIsExactlyTheKernelsForm) {
    EXPECT_EQ(parse_hex_attribute("0x10de"), 0x10deU);
    EXPECT_EQ(parse_hex_attribute("0xffffffff"), 0xffffffffU);
    for (const char* text : {"", "0x", "10de", "0x-1", "0x 1", "0x1g", "0x100000000", "0X10", " 0x1", "0x1\n"}) {
        EXPECT_EQ(parse_hex_attribute(text), std::nullopt) << text;
    }
}

TEST(ParseAttribute, DecimalHasNothingAroundIt) {
    EXPECT_EQ(parse_decimal_attribute("-1"), -1);
    EXPECT_EQ(parse_decimal_attribute("2147483647"), 2147483647);
    for (const char* text : {"", "+1", "1 ", "2147483648", "0x1", "one"}) {
        EXPECT_EQ(parse_decimal_attribute(text), std::nullopt) << text;
    }
}

TEST(ReadDevice, ABarWithoutAnAddressKeepsItFromBeingEnabled) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.set(edu, "resource",
              "0x00000000fea00000 0x00000000feafffff 0x0000000000040200\n"
              "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
              "0x0000000000000000 0x0000000fffffffff 0x000000002014220c\n");

    const Device device = read(sysfs);

    EXPECT_EQ(device.unassigned_bar, 2);
    EXPECT_THAT(why_unsafe(device).value_or(""), HasSubstr("BAR 2 of 0000:00:04.0"));
    EXPECT_THAT(why_unsafe(device).value_or(""), HasSubstr("above 4G decoding"));
}

TEST(ReadDevice, ARomWithoutAnAddressDoesNot) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    const std::string bar = "0x00000000fea00000 0x00000000feafffff 0x0000000000040200\n";
    sysfs.set(edu, "resource", bar + bar + bar + bar + bar + bar + "0x0 0xffff 0x0000000020046200\n");

    EXPECT_EQ(read(sysfs).unassigned_bar, -1);
    EXPECT_EQ(why_unsafe(read(sysfs)), std::nullopt);
}

TEST(ReadDevice, ThePlaceIsTheWayFromTheRootBusAndTheFirmwaresName) {
    const FakeSysfs sysfs;
    sysfs.add_device(edu, 3);
    sysfs.set(edu, "label", "Onboard LAN\n");
    const Device on_board = read(sysfs);
    sysfs.write("bus/pci/slots/5-1/address", "0000:00:04\n");
    sysfs.write("bus/pci/slots/6/address", "0000:00:05\n");
    const SysfsReader reader(sysfs.root());
    const auto in_slot = read_device(reader, at(edu), read_slots(reader));

    EXPECT_EQ(on_board.path, "00:04.0");
    EXPECT_EQ(on_board.slot, "Onboard LAN");
    EXPECT_EQ(in_slot->slot, "5-1");
}

}  // namespace
}  // namespace iommud
