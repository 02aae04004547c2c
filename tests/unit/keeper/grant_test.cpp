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
        return add_devices(context_, already_there, std::vector<UniqueFd>(2),
                           {devices_, no_reset_allowed, token_, token_for_});
    }
    const std::array<PciAddress, 2> devices_{first, second};
    std::optional<Uuid> token_;
    std::vector<PciAddress> token_for_;
    FakeContext context_;
};

TEST_F(Grant, AVfTokenIsGivenToThoseThatTakeIt) {
    token_ = parse_uuid("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3");
    token_for_ = {second};

    ASSERT_TRUE(add({}).has_value());

    EXPECT_THAT(context_.tokens, ElementsAre(std::nullopt, token_));
}

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

TEST_F(Grant, ADeviceWithoutAResetOfItsOwnIsResetWithItsBus) {
    context_.reset_works = false;
    context_.reset_together_error = 0;

    const auto granted = add({});

    ASSERT_TRUE(granted.has_value()) << granted.error().message;
    EXPECT_THAT(granted->no_reset, ElementsAre(first, second)) << "and before the next holder has it, too";
    EXPECT_EQ(context_.resets_together, 2U);
}

TEST_F(Grant, FunctionsOfOneDeviceAreResetOnce) {
    context_.reset_works = false;
    context_.reset_together_error = 0;
    const std::array<PciAddress, 2> functions{first, PciAddress{0, 0, 4, 1}};

    ASSERT_TRUE(add_devices(context_, 0, std::vector<UniqueFd>(2), {functions, {}, std::nullopt, {}}).has_value());

    EXPECT_EQ(context_.resets_together, 1U);
}

TEST_F(Grant, ABusThatIsNotAllThisLeasesIsNotReset) {
    context_.reset_works = false;
    context_.reset_together_error = EINVAL;

    const auto granted = add({});

    EXPECT_EQ(granted.error().code, ErrorCode::access_denied);
    EXPECT_THAT(granted.error().message, testing::HasSubstr("all that is on its bus"));
    EXPECT_EQ(context_.devices, 0U);
}

TEST_F(Grant, ALeaseInUseIsNotResetForWhatIsAdded) {
    context_.devices = 3;
    context_.reset_works = false;
    context_.reset_together_error = 0;

    EXPECT_FALSE(add({}, 3).has_value());

    EXPECT_EQ(context_.resets_together, 0U);
    EXPECT_EQ(context_.devices, 3U);
}

TEST_F(Grant, WhatMayGoWithoutAResetIsNotReset) {
    context_.reset_works = false;
    context_.reset_together_error = 0;

    ASSERT_TRUE(add({first, second}).has_value());

    EXPECT_EQ(context_.resets_together, 0U);
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
