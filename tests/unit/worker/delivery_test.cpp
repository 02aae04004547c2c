#include "daemon/worker/delivery.hpp"

#include <gtest/gtest.h>

namespace iommud::worker {
namespace {

const std::vector<PciAddress> asked{PciAddress{.domain = 0, .bus = 0, .slot = 4, .function = 0}};

ipc::Delivery named(std::vector<std::string> names) {
    return {.lease = 7, .names = std::move(names)};
}

TEST(Delivery, ANameForEachDescriptorIsRight) {
    EXPECT_EQ(delivery_fault(named({"lease", "device:0000:00:04.0"}), 2, 7, asked), std::nullopt);
    EXPECT_EQ(delivery_fault(named({"device:0000:00:04.0"}), 1, 7, asked), std::nullopt);
    EXPECT_EQ(delivery_fault(named({"lease", "iommu", "device:0000:00:04.0"}), 3, 7, asked), std::nullopt);
    EXPECT_EQ(delivery_fault(named({"lease", "container", "group:12"}), 3, 7, asked), std::nullopt);
}

TEST(Delivery, ForAnotherLeaseIsAFault) {
    EXPECT_NE(delivery_fault(named({"lease"}), 1, 8, asked), std::nullopt);
}

TEST(Delivery, AnotherNumberOfDescriptorsIsAFault) {
    EXPECT_NE(delivery_fault(named({"lease"}), 2, 7, asked), std::nullopt);
    EXPECT_NE(delivery_fault(named({"lease", "iommu"}), 1, 7, asked), std::nullopt);
    EXPECT_NE(delivery_fault(named({}), 0, 7, asked), std::nullopt);
}

TEST(Delivery, ADeviceNobodyAskedForIsAFault) {
    EXPECT_NE(delivery_fault(named({"device:0000:00:05.0"}), 1, 7, asked), std::nullopt);
}

TEST(Delivery, AnUnknownOrRepeatedNameIsAFault) {
    EXPECT_NE(delivery_fault(named({"root"}), 1, 7, asked), std::nullopt);
    EXPECT_NE(delivery_fault(named({"group:"}), 1, 7, asked), std::nullopt);
    EXPECT_NE(delivery_fault(named({"group:x"}), 1, 7, asked), std::nullopt);
    EXPECT_NE(delivery_fault(named({"lease", "lease"}), 2, 7, asked), std::nullopt);
}

}  // namespace
}  // namespace iommud::worker
