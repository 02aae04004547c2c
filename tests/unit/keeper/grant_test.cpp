#include "daemon/keeper/grant.hpp"

#include <gmock/gmock.h>

#include "tests/unit/keeper/fake_context.hpp"

namespace iommud::keeper {
namespace {

using testing::ElementsAre;

const PciAddress first = *PciAddress::parse("0000:00:04.0");
const PciAddress second = *PciAddress::parse("0000:00:06.0");

class Grant : public testing::Test {
  protected:
    Result<GrantedDevices> add(std::vector<PciAddress> no_reset_allowed, std::size_t already_there = 0) {
        return add_devices(context_, already_there, std::vector<UniqueFd>(2), std::array{first, second},
                           no_reset_allowed);
    }
    FakeContext context_;
};

TEST_F(Grant, DevicesAreNamedInTheOrderAsked) {
    const auto granted = add({});

    ASSERT_TRUE(granted.has_value());
    EXPECT_THAT(granted->names, ElementsAre("device:0000:00:04.0", "device:0000:00:06.0"));
    EXPECT_EQ(granted->fds.size(), 2U);
    EXPECT_TRUE(granted->no_reset.empty());
}

TEST_F(Grant, WhereOneFailsNoneIsKept) {
    context_.fail_device = 1;

    const auto granted = add({});

    EXPECT_EQ(granted.error().code, ErrorCode::device_busy);
    EXPECT_EQ(context_.devices, 0U);
}

TEST_F(Grant, AFailedAdditionKeepsWhatWasThere) {
    context_.devices = 3;
    context_.fail_device = 4;

    EXPECT_FALSE(add({}, 3).has_value());

    EXPECT_EQ(context_.devices, 3U);
}

TEST_F(Grant, ADeviceThatCannotBeResetIsRefused) {
    context_.reset_works = false;

    const auto granted = add({second});

    EXPECT_EQ(granted.error().code, ErrorCode::access_denied);
    EXPECT_THAT(granted.error().message, testing::HasSubstr("0000:00:04.0"));
    EXPECT_EQ(context_.devices, 0U);
}

TEST_F(Grant, ADeviceThatCannotBeResetIsGivenAndNamedWhereARuleAllowsIt) {
    context_.reset_works = false;

    const auto granted = add({first, second});

    ASSERT_TRUE(granted.has_value());
    EXPECT_THAT(granted->no_reset, ElementsAre(first, second));
}

TEST_F(Grant, ADeliveryThatNobodyReadsIsSaid) {
    auto [worker, keeper] = ipc::Channel::pair().value();
    worker.close();

    EXPECT_FALSE(deliver(keeper, 1, GrantedDevices(), BorrowedFd()));
}

TEST_F(Grant, ADeliveryThatTheKernelHasNoRoomForNamesTheLimit) {
    auto [worker, keeper] = ipc::Channel::pair().value();
    while (deliver(keeper, 1, GrantedDevices(), BorrowedFd())) {
    }

    const auto delivered = deliver(keeper, 1, GrantedDevices(), BorrowedFd());

    EXPECT_EQ(delivered.error().code, ErrorCode::lease_limit);
    EXPECT_THAT(delivered.error().message, testing::HasSubstr("RLIMIT_NOFILE"));
}

}  // namespace
}  // namespace iommud::keeper
