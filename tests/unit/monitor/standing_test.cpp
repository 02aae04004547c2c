// What a device is to everybody when nobody holds it, and what is said to who asks for it.
#include "daemon/monitor/standing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/inventory/fake_sysfs.hpp"

namespace iommud::monitor {
namespace {

using testing::HasSubstr;

constexpr const char* one = "0000:00:04.0";
constexpr const char* two = "0000:00:04.1";

class Standings : public testing::Test {
  protected:
    Standings() {
        sysfs_.add_device(one, 3);
        sysfs_.add_device(two, 3);
    }
    [[nodiscard]] Standing standing() const {
        const auto inventory = Inventory::scan(sysfs_.root());
        return standing_of_unheld(*inventory, *inventory->find(at(one)));
    }
    [[nodiscard]] Error error() const {
        const auto inventory = Inventory::scan(sysfs_.root());
        const Device& device = *inventory->find(at(one));
        return refusal(device, standing_of_unheld(*inventory, device));
    }
    const FakeSysfs sysfs_;
};

TEST_F(Standings, OnNoDriverIsUnbound) {
    EXPECT_EQ(standing().state, DeviceState::unbound);
    EXPECT_EQ(error().code, ErrorCode::group_not_viable);
    EXPECT_EQ(error().message,
              "0000:00:04.0 cannot be leased: it is on no driver; an administrator binds it to vfio-pci");
}

TEST_F(Standings, OnAHostDriverIsTheHosts) {
    sysfs_.bind(one, "nvme");

    EXPECT_EQ(standing().state, DeviceState::host);
    EXPECT_EQ(error().code, ErrorCode::group_not_viable);
    EXPECT_THAT(error().message, HasSubstr("the host's driver nvme"));
}

TEST_F(Standings, BesideAHostDriverIsBlocked) {
    sysfs_.bind_vfio(one, "vfio0");
    sysfs_.bind(two, "snd_hda_intel");

    EXPECT_EQ(standing().state, DeviceState::blocked);
    EXPECT_EQ(error().code, ErrorCode::group_not_viable);
    EXPECT_THAT(error().message, HasSubstr("0000:00:04.1 in IOMMU group 3 is on the host's driver snd_hda_intel"));
}

TEST_F(Standings, BesideAnIdleOneIsAvailable) {
    sysfs_.bind_vfio(one, "vfio0");

    EXPECT_EQ(standing().state, DeviceState::available);
    EXPECT_EQ(standing().reason, "");
}

TEST_F(Standings, WhatThePlatformRulesOutIsUnsafeOnWhateverDriver) {
    sysfs_.bind(one, "nvme");
    sysfs_.write("kernel/iommu_groups/3/reserved_regions", "0x00000000000e0000 0x00000000000fffff direct\n");

    EXPECT_EQ(standing().state, DeviceState::unsafe);
    EXPECT_EQ(error().code, ErrorCode::device_refused);
    EXPECT_THAT(error().message, HasSubstr("mapped 1:1"));
}

TEST_F(Standings, AnAdministratorMendsThemAllButWhatIsHeld) {
    for (const DeviceState state :
         {DeviceState::unbound, DeviceState::host, DeviceState::blocked, DeviceState::unsafe}) {
        EXPECT_TRUE(cannot_be_leased(state)) << name_of(state);
    }
    for (const DeviceState state : {DeviceState::available, DeviceState::leased, DeviceState::draining}) {
        EXPECT_FALSE(cannot_be_leased(state)) << name_of(state);
    }
}

}  // namespace
}  // namespace iommud::monitor
