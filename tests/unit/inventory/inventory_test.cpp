#include "daemon/inventory/inventory.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <vector>

#include "daemon/inventory/simulated_devices.hpp"
#include "tests/unit/inventory/fake_sysfs.hpp"

namespace iommud {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* one = "0000:00:04.0";
constexpr const char* two = "0000:00:04.1";
constexpr const char* three = "0000:81:00.0";

std::vector<PciAddress> addresses(const std::vector<const Device*>& devices) {
    std::vector<PciAddress> all;
    all.reserve(devices.size());
    for (const Device* device : devices) {
        all.push_back(device->address);
    }
    return all;
}

TEST(Inventory, HasEveryDeviceInTheOrderOfAddresses) {
    const FakeSysfs sysfs;
    sysfs.add_device(three, 4);
    sysfs.add_device(one, 3);
    sysfs.add_device(two, 3);
    sysfs.write("bus/pci/devices/not-an-address/vendor", "0x1\n");

    const auto inventory = Inventory::scan(sysfs.root());

    ASSERT_TRUE(inventory);
    std::vector<PciAddress> order;
    for (const auto& [address, device] : inventory->devices()) {
        order.push_back(address);
    }
    EXPECT_THAT(order, ElementsAre(at(one), at(two), at(three)));
    EXPECT_EQ(inventory->find(at(one))->iommu_group, 3);
    EXPECT_EQ(inventory->find(at("0000:00:09.0")), nullptr);
    EXPECT_THAT(addresses(inventory->group_members(3)), ElementsAre(at(one), at(two)));
    EXPECT_TRUE(inventory->group_members(5).empty());
    EXPECT_TRUE(inventory->group_members(-1).empty());
}

TEST(Inventory, ASerialNumberIsThatOfTheDeviceWhichItWasLeftFor) {
    const FakeSysfs sysfs;
    const FakeSysfs serials;
    for (const char* device : {one, two, three}) {
        sysfs.add_device(device, 3);
    }
    const auto inventory = Inventory::scan(sysfs.root(), {}, serials.root());
    const auto left = [&](const char* of, const char* device, const std::string& number) {
        struct stat folder {};
        ::stat((sysfs.root() / "bus/pci/devices" / of).c_str(), &folder);
        serials.write(device, fmt::format("{} {}\n", folder.st_ino, number));
        return inventory->serial_number(*inventory->find(at(device)));
    };

    EXPECT_EQ(inventory->serial_number(*inventory->find(at(one))), std::nullopt);
    EXPECT_EQ(left(one, one, "52-54-00-ff-ff-12-34-56"), "52-54-00-ff-ff-12-34-56");
    EXPECT_EQ(left(two, two, "none"), "");
    EXPECT_EQ(left(one, three, "52-54-00-ff-ff-12-34-56"), std::nullopt);
    EXPECT_EQ(left(one, one, "52-54-00-ff-ff-12-34-5"), std::nullopt);
    serials.write(one, "");
    EXPECT_EQ(inventory->serial_number(*inventory->find(at(one))), std::nullopt);
}

TEST(Inventory, WithoutAListOfDevicesThereIsNone) {
    const auto inventory = Inventory::scan("/nonexistent");

    ASSERT_FALSE(inventory);
    EXPECT_EQ(inventory.error().code, ErrorCode::kernel_unsupported);
}

TEST(Inventory, AGroupOfVfioDevicesBridgesStubsAndIdleOnesIsViable) {
    const FakeSysfs sysfs;
    for (const char* address : {"0000:00:04.0", "0000:00:04.1", "0000:00:04.2", "0000:00:04.3"}) {
        sysfs.add_device(address, 3);
    }
    sysfs.bind_vfio("0000:00:04.0", "vfio0");
    sysfs.bind("0000:00:04.1", "pci-stub");
    sysfs.bind("0000:00:04.2", "pcieport");

    const auto inventory = Inventory::scan(sysfs.root());

    EXPECT_TRUE(inventory->viable(3));
}

TEST(Inventory, AHostDriverInTheGroupIsNamed) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    sysfs.add_device(two, 3);
    sysfs.bind_vfio(one, "vfio0");
    sysfs.bind(two, "e1000e");

    const auto viable = Inventory::scan(sysfs.root())->viable(3);

    ASSERT_FALSE(viable);
    EXPECT_EQ(viable.error().code, ErrorCode::group_not_viable);
    EXPECT_EQ(viable.error().message, "0000:00:04.1 in IOMMU group 3 is on the host's driver e1000e");
}

TEST(Inventory, AMemberThatIsNoPciDeviceIsNamed) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    sysfs.write("kernel/iommu_groups/3/devices/fsl-mc.0", "");

    const auto viable = Inventory::scan(sysfs.root())->viable(3);

    ASSERT_FALSE(viable);
    EXPECT_THAT(viable.error().message, HasSubstr("fsl-mc.0"));
}

TEST(Inventory, AMemberThatWasNotAnnouncedYetIsWaitedFor) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    auto inventory = Inventory::scan(sysfs.root());
    sysfs.add_device(two, 3);

    (void)inventory->refresh(at(one));
    const auto before = inventory->viable(3);
    (void)inventory->refresh(at(two));

    ASSERT_FALSE(before);
    EXPECT_THAT(before.error().message, HasSubstr("0000:00:04.1 has just joined"));
    EXPECT_TRUE(inventory->viable(3));
}

TEST(Inventory, AMemberThatLeftNoLongerCounts) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    sysfs.add_device(two, 3);
    sysfs.bind(two, "e1000e");
    auto inventory = Inventory::scan(sysfs.root());
    sysfs.remove_device(two);

    const Diff diff = inventory->refresh(at(two));

    EXPECT_EQ(diff, (Diff{{}, {at(one)}, {at(two)}})) << "what the other one's end means for it is not said";
    EXPECT_TRUE(inventory->viable(3));
    EXPECT_THAT(addresses(inventory->group_members(3)), ElementsAre(at(one)));
}

TEST(Inventory, AGroupWhoseMembersCannotBeListedIsNotViable) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    std::filesystem::remove_all(sysfs.root() / "kernel/iommu_groups/3/devices");

    EXPECT_FALSE(Inventory::scan(sysfs.root())->viable(3));
}

TEST(Inventory, AGroupWithoutDevicesIsNone) {
    const FakeSysfs sysfs;

    EXPECT_EQ(Inventory::scan(sysfs.root())->viable(3).error().code, ErrorCode::no_such_device);
}

TEST(Inventory, RefreshSaysWhatHappenedToADevice) {
    const FakeSysfs sysfs;
    auto inventory = Inventory::scan(sysfs.root());

    sysfs.add_device(one, 3);
    const Diff added = inventory->refresh(at(one));
    const Diff nothing = inventory->refresh(at(one));
    sysfs.bind_vfio(one, "vfio0");
    const Diff changed = inventory->refresh(at(one));
    sysfs.remove_device(one);
    const Diff removed = inventory->refresh(at(one));
    const Diff never_there = inventory->refresh(at(two));

    EXPECT_EQ(added, (Diff{{at(one)}, {}, {}}));
    EXPECT_TRUE(nothing.empty());
    EXPECT_EQ(changed, (Diff{{}, {at(one)}, {}}));
    EXPECT_EQ(removed, (Diff{{}, {}, {at(one)}}));
    EXPECT_TRUE(never_there.empty());
    EXPECT_TRUE(inventory->devices().empty());
    EXPECT_TRUE(inventory->group_members(3).empty());
}

TEST(Inventory, AListedDeviceStaysWhereItIsWhenItChangesDriverOrGroup) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    auto inventory = Inventory::scan(sysfs.root());
    const Device* device = inventory->find(at(one));

    sysfs.bind_vfio(one, "vfio0");
    sysfs.join_group(one, 5);
    (void)inventory->refresh(at(one));

    EXPECT_EQ(inventory->find(at(one)), device);
    EXPECT_EQ(device->vfio_cdev, "vfio0");
    EXPECT_EQ(device->iommu_group, 5);
    EXPECT_TRUE(inventory->group_members(3).empty());
    EXPECT_THAT(addresses(inventory->group_members(5)), ElementsAre(at(one)));
}

TEST(Inventory, RescanFindsWhatUeventsWouldHaveSaid) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    sysfs.add_device(two, 3);
    auto inventory = Inventory::scan(sysfs.root());
    sysfs.remove_device(one);
    sysfs.bind_vfio(two, "vfio0");
    sysfs.add_device(three, 4);

    const auto diff = inventory->rescan();

    ASSERT_TRUE(diff);
    EXPECT_EQ(*diff, (Diff{{at(three)}, {at(two)}, {at(one)}}));
}

TEST(Inventory, ARescanThatFailsChangesNothing) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    auto inventory = Inventory::scan(sysfs.root());
    std::filesystem::remove_all(sysfs.root() / "bus");

    EXPECT_FALSE(inventory->rescan());
    EXPECT_NE(inventory->find(at(one)), nullptr);
}

TEST(Inventory, ADeviceIsNamedWhenItIsNewOrAnotherOne) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    int asked = 0;
    auto inventory = Inventory::scan(sysfs.root(), [&asked](const Device& device) {
        return std::to_string(++asked) + (device.vendor == 0x8086 ? " other" : " edu");
    });

    sysfs.bind_vfio(one, "vfio0");
    (void)inventory->refresh(at(one));
    const std::string still = inventory->find(at(one))->name;
    sysfs.set(one, "vendor", "0x8086\n");
    (void)inventory->refresh(at(one));

    EXPECT_EQ(still, "1 edu");
    EXPECT_EQ(inventory->find(at(one))->name, "2 other");
}

TEST(Inventory, ADriverInTheGroupIsAChangeOfTheOthersToo) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    sysfs.add_device(two, 3);
    sysfs.add_device(three, 4);
    auto inventory = Inventory::scan(sysfs.root());

    sysfs.bind(two, "e1000e");
    const Diff bound = inventory->refresh(at(two));
    sysfs.bind_vfio(two, "vfio0");
    const Diff given = inventory->refresh(at(two));

    EXPECT_EQ(bound, (Diff{{}, {at(one), at(two)}, {}}));
    EXPECT_EQ(given, (Diff{{}, {at(one), at(two)}, {}}));
}

TEST(Inventory, AVfTokenIsForWhatTakesPartInSriovThroughVfio) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    sysfs.add_device(two, 4);
    sysfs.add_device(three, 5);
    sysfs.set(one, "sriov_totalvfs", "7\n");
    sysfs.link(two, "physfn", sysfs.root() / "bus/pci/devices" / one);
    auto inventory = Inventory::scan(sysfs.root());
    const auto takes = [&inventory](const char* address) {
        return inventory->takes_vf_token(*inventory->find(at(address)));
    };

    EXPECT_TRUE(takes(one));
    EXPECT_FALSE(takes(two)) << "its physical function is the host's";
    EXPECT_FALSE(takes(three));

    sysfs.bind_vfio(one, "vfio0");
    (void)inventory->refresh(at(one));
    EXPECT_TRUE(takes(two));
}

TEST(Inventory, ASimulatedOneHasItsDevicesForEver) {
    auto inventory = Inventory::simulated(built_in_simulated_devices());

    EXPECT_TRUE(inventory.viable(3));
    EXPECT_TRUE(inventory.rescan()->empty());
    EXPECT_TRUE(inventory.refresh(at(one)).empty());
    EXPECT_FALSE(inventory.refresh_host());
    EXPECT_EQ(inventory.devices().size(), 2U);
    EXPECT_EQ(inventory.unsafe_reason(*inventory.find(at(one))), std::nullopt);
}

}  // namespace
}  // namespace iommud
