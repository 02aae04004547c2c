#include "daemon/keeper/start.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace iommud::keeper {
namespace {

ipc::KeeperStart message(ipc::KeeperRole role, KernelInterface kernel, std::size_t devices) {
    ipc::KeeperStart start;
    start.role = role;
    start.kernel = kernel;
    start.maps = 16;
    start.devices.assign(devices, *PciAddress::parse("0000:00:04.0"));
    return start;
}

std::vector<UniqueFd> descriptors(std::size_t count) {
    std::vector<UniqueFd> fds(count);
    for (UniqueFd& fd : fds) {
        fd = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    }
    return fds;
}

constexpr auto keeper = ipc::KeeperRole::keeper;
constexpr auto successor = ipc::KeeperRole::successor;

TEST(KeeperStart, AKeeperGetsAContextADeliveryEndAndItsDevices) {
    const auto start = check_start(message(keeper, KernelInterface::iommufd, 2), descriptors(4));

    ASSERT_TRUE(start.has_value());
    EXPECT_TRUE(start->context.valid());
    EXPECT_TRUE(start->delivery.open());
    EXPECT_EQ(start->devices.size(), 2U);
    EXPECT_TRUE(start->devices[1].valid());
}

TEST(KeeperStart, ASimulatedKeeperGetsADeliveryEndOnly) {
    const auto start = check_start(message(keeper, KernelInterface::simulated, 2), descriptors(1));

    ASSERT_TRUE(start.has_value());
    EXPECT_FALSE(start->context.valid());
    EXPECT_TRUE(start->delivery.open());
    EXPECT_EQ(start->devices.size(), 2U);
}

TEST(KeeperStart, ASuccessorGetsTheInertCopyOnly) {
    const auto start = check_start(message(successor, KernelInterface::iommufd, 2), descriptors(1));

    ASSERT_TRUE(start.has_value());
    EXPECT_TRUE(start->context.valid());
    EXPECT_FALSE(start->delivery.open());
    EXPECT_TRUE(start->devices.empty());
}

TEST(KeeperStart, AnyOtherNumberOfDescriptorsIsRefused) {
    EXPECT_FALSE(check_start(message(keeper, KernelInterface::iommufd, 2), descriptors(3)).has_value());
    EXPECT_FALSE(check_start(message(keeper, KernelInterface::iommufd, 2), descriptors(5)).has_value());
    EXPECT_FALSE(check_start(message(keeper, KernelInterface::simulated, 2), descriptors(2)).has_value());
    EXPECT_FALSE(check_start(message(successor, KernelInterface::iommufd, 0), descriptors(2)).has_value());
    EXPECT_FALSE(check_start(message(successor, KernelInterface::simulated, 0), descriptors(1)).has_value());
}

TEST(KeeperStart, ALeaseHasBetweenOneAnd32Devices) {
    EXPECT_FALSE(check_start(message(keeper, KernelInterface::iommufd, 0), descriptors(2)).has_value());
    EXPECT_FALSE(check_start(message(keeper, KernelInterface::iommufd, 33), descriptors(35)).has_value());
}

TEST(KeeperStart, TheNumberOfMapsHasBounds) {
    ipc::KeeperStart none = message(keeper, KernelInterface::simulated, 1);
    none.maps = 0;
    ipc::KeeperStart too_many = message(keeper, KernelInterface::simulated, 1);
    too_many.maps = most_maps + 1;

    EXPECT_FALSE(check_start(none, descriptors(1)).has_value());
    EXPECT_FALSE(check_start(too_many, descriptors(1)).has_value());
}

TEST(KeeperStart, ModesThatItDoesNotServeAreRefusedByName) {
    ipc::KeeperStart legacy = message(keeper, KernelInterface::iommufd, 1);
    legacy.mode = Mode::legacy;
    ipc::KeeperStart direct = message(keeper, KernelInterface::iommufd, 1);
    direct.mode = Mode::direct;
    ipc::KeeperStart without_contexts = message(keeper, KernelInterface::type1, 1);
    without_contexts.mode = Mode::direct;

    EXPECT_EQ(check_start(legacy, descriptors(3)).error().code, ErrorCode::unsupported_mode);
    EXPECT_EQ(check_start(without_contexts, descriptors(3)).error().code, ErrorCode::unsupported_mode);
    EXPECT_TRUE(check_start(direct, descriptors(3)).has_value());
}

}  // namespace
}  // namespace iommud::keeper
