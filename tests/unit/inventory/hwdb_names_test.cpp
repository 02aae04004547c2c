#include "daemon/inventory/hwdb_names.hpp"

#include <gtest/gtest.h>

#include <filesystem>

namespace iommud {
namespace {

TEST(HwdbNames, AnUnknownDeviceHasNoNameOfItsOwn) {
    Device device;
    device.vendor = 0xfff0;
    device.device = 0xfff0;

    EXPECT_EQ(HwdbNames()(device), "");
}

TEST(HwdbNames, ADeviceWhoseIdsCouldNotBeReadHasNone) {
    EXPECT_EQ(HwdbNames()(Device{}), "");
}

TEST(HwdbNames, AKnownDeviceIsCalledByVendorAndModel) {
    if (!std::filesystem::exists("/usr/lib/udev/hwdb.bin")) {
        GTEST_SKIP() << "this machine has no hardware database";
    }
    Device device;
    device.vendor = 0x8086;
    device.device = 0x10d3;

    EXPECT_EQ(HwdbNames()(device), "Intel Corporation 82574L Gigabit Network Connection");
}

}  // namespace
}  // namespace iommud
