#include "daemon/inventory/hwdb_names.hpp"

#include <gtest/gtest.h>

namespace iommud {
namespace {

// The database may be absent where this runs, so these hold with it and without.
TEST(HwdbNames, AnUnknownDeviceHasNoNameOfItsOwn) {
    Device device;
    device.vendor = 0xfff0;
    device.device = 0xfff0;

    EXPECT_EQ(HwdbNames()(device), "");
}

TEST(HwdbNames, ADeviceWhoseIdsCouldNotBeReadHasNone) {
    EXPECT_EQ(HwdbNames()(Device{}), "");
}

TEST(HwdbNames, ANameIsBoundedAndTheSameEachTime) {
    Device device;
    device.vendor = 0x8086;
    device.device = 0x10d3;
    const HwdbNames names;

    const std::string name = names(device);

    EXPECT_LE(name.size(), 255U);
    EXPECT_EQ(name, names(device));
}

}  // namespace
}  // namespace iommud
