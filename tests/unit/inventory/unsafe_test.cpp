// What keeps a device from ever being leased, as far as the host and its group say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "daemon/inventory/inventory.hpp"
#include "tests/unit/inventory/fake_sysfs.hpp"

namespace iommud {
namespace {

using testing::HasSubstr;

constexpr const char* one = "0000:00:04.0";

class UnsafeInterrupts : public testing::TestWithParam<const char*> {};

TEST_P(UnsafeInterrupts, MakeEveryDeviceUnsafe) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    sysfs.write(GetParam(), "N\n");
    auto inventory = Inventory::scan(sysfs.root());
    const auto before = inventory->unsafe_reason(*inventory->find(at(one)));

    sysfs.write(GetParam(), "Y\n");
    const bool changed = inventory->refresh_host();
    const bool changed_again = inventory->refresh_host();

    EXPECT_EQ(before, std::nullopt);
    EXPECT_TRUE(changed);
    EXPECT_FALSE(changed_again);
    EXPECT_THAT(inventory->host_unsafe_reason().value_or(""), HasSubstr(GetParam()));
    EXPECT_EQ(inventory->unsafe_reason(*inventory->find(at(one))), inventory->host_unsafe_reason());
}

TEST_P(UnsafeInterrupts, ThatCannotBeReadAreNotTakenForOff) {
    const FakeSysfs sysfs;
    std::filesystem::create_directories(sysfs.root() / GetParam());

    EXPECT_THAT(Inventory::scan(sysfs.root())->host_unsafe_reason().value_or(""), HasSubstr("cannot be read"));
}

INSTANTIATE_TEST_SUITE_P(Modules, UnsafeInterrupts,
                         testing::Values("module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
                                         "module/iommufd/parameters/allow_unsafe_interrupts"));

TEST(Inventory, OnlyTheInterfaceInUseMakesDevicesUnsafe) {
    const FakeSysfs sysfs;
    sysfs.write("module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n");
    sysfs.write("module/iommufd/parameters/allow_unsafe_interrupts", "N\n");
    auto inventory = Inventory::scan(sysfs.root());

    inventory->lent_by("iommufd");
    EXPECT_EQ(inventory->host_unsafe_reason(), std::nullopt);
    inventory->lent_by("vfio_iommu_type1");
    EXPECT_THAT(inventory->host_unsafe_reason().value_or(""), HasSubstr("vfio_iommu_type1"));
}

TEST(Inventory, ADevicesOwnReasonStandsWhenTheHostIsSafe) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, -1);

    const auto inventory = Inventory::scan(sysfs.root());

    EXPECT_EQ(inventory->host_unsafe_reason(), std::nullopt);
    EXPECT_EQ(inventory->unsafe_reason(*inventory->find(at(one))), "0000:00:04.0 has no IOMMU group");
}

// As iommu_group_show_resv_regions writes them.
std::optional<std::string> unsafe_with_regions(const char* text) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    sysfs.write("kernel/iommu_groups/3/reserved_regions", text);
    const auto inventory = Inventory::scan(sysfs.root());
    return inventory->unsafe_reason(*inventory->find(at(one)));
}

TEST(Inventory, ARegionThatFirmwareWantsMappedMakesItsGroupUnsafe) {
    const auto reason = unsafe_with_regions(
        "0x00000000000e0000 0x00000000000fffff direct\n"
        "0x00000000fee00000 0x00000000feefffff msi\n");

    ASSERT_TRUE(reason);
    EXPECT_THAT(*reason, HasSubstr("0x00000000000e0000 to 0x00000000000fffff"));
    EXPECT_THAT(*reason, HasSubstr("RMRR"));
}

TEST(Inventory, OtherReservedRegionsDoNot) {
    EXPECT_EQ(unsafe_with_regions("0x00000000000e0000 0x00000000000fffff direct-relaxable\n"
                                  "0x00000000fee00000 0x00000000feefffff msi\n"
                                  "0x000000fd00000000 0x000000ffffffffff reserved\n"),
              std::nullopt);
    EXPECT_EQ(unsafe_with_regions(""), std::nullopt);
    EXPECT_EQ(unsafe_with_regions("direct"), std::nullopt);
}

TEST(Inventory, RegionsThatCannotBeReadAreNotTakenForNone) {
    const FakeSysfs sysfs;
    sysfs.add_device(one, 3);
    std::filesystem::create_directories(sysfs.root() / "kernel/iommu_groups/3/reserved_regions");
    const auto inventory = Inventory::scan(sysfs.root());

    EXPECT_THAT(inventory->unsafe_reason(*inventory->find(at(one))).value_or(""), HasSubstr("cannot be read"));
}

// The host's reason when these are the names of its interrupts' chips.
std::optional<std::string> unsafe_with_chips(const std::vector<const char*>& chips) {
    const FakeSysfs sysfs;
    for (std::size_t i = 0; i < chips.size(); ++i) {
        sysfs.write("kernel/irq/" + std::to_string(i) + "/chip_name", chips[i]);
    }
    return Inventory::scan(sysfs.root())->host_unsafe_reason();
}

TEST(Inventory, InterruptsThatAreNotRemappedMakeEveryDeviceUnsafe) {
    EXPECT_THAT(unsafe_with_chips({"IO-APIC\n", "PCI-MSI-0000:00:1f.2\n"}).value_or(""),
                HasSubstr("interrupt remapping"));
    EXPECT_THAT(unsafe_with_chips({"PCI-MSIX-0000:00:03.0\n"}).value_or(""), HasSubstr("intremap=off"));
}

TEST(Inventory, InterruptsThatAreRemappedOrOfAnotherKindDoNot) {
    EXPECT_EQ(unsafe_with_chips({"IR-IO-APIC\n", "PCI-MSI-0000:00:1f.2\n", "IR-PCI-MSI-0000:00:02.0\n"}), std::nullopt);
    EXPECT_EQ(unsafe_with_chips({"IO-APIC\n", "\n"}), std::nullopt);
    EXPECT_EQ(unsafe_with_chips({"GICv3\n", "ITS-PCI-MSI-0000:00:02.0\n"}), std::nullopt);
    EXPECT_EQ(unsafe_with_chips({}), std::nullopt);
}

}  // namespace
}  // namespace iommud
