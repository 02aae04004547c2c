#include "daemon/ledger/ledger.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "daemon/base/bytes.hpp"

namespace iommud {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
const std::uint64_t most_pages = most - page_size + 1;
constexpr std::uint32_t alice = 1000;
constexpr std::uint32_t bob = 1001;
constexpr Limits plenty{.memory = most, .leases = 1000, .devices = 1000};

TEST(Ledger, AChargeIsInTheFiguresUntilItsTokenIsGone) {
    Ledger ledger(GiB);
    const Limits limits{.memory = 12 * MiB, .leases = 2, .devices = 3};
    auto charge = ledger.charge(alice, limits, {.memory = 8 * MiB, .devices = 2});
    ASSERT_TRUE(charge);
    const AccountFigures held = ledger.figures(alice);
    const HostFigures host = ledger.host();

    *charge = Charge();

    EXPECT_EQ(held, (AccountFigures{.uid = alice, .limits = limits, .reserved = 8 * MiB, .leases = 1, .devices = 2}));
    EXPECT_EQ(host, (HostFigures{.memory = GiB, .reserved = 8 * MiB, .leases = 1, .devices = 2}));
    EXPECT_EQ(ledger.figures(alice), AccountFigures{.uid = alice});
    EXPECT_TRUE(ledger.balanced());
}

TEST(Ledger, MemoryIsRoundedUpToPages) {
    Ledger ledger(GiB);

    const auto charge = ledger.charge(alice, plenty, {.memory = 1, .devices = 1});

    ASSERT_TRUE(charge);
    EXPECT_EQ(charge->memory(), page_size);
    EXPECT_EQ(ledger.figures(alice).reserved, page_size);
}

TEST(Ledger, ALimitCanBeUsedToTheLastPageAndNoFurther) {
    Ledger ledger(GiB);
    const Limits limits{.memory = 12 * MiB, .leases = 9, .devices = 9};
    const auto first = ledger.charge(alice, limits, {.memory = 8 * MiB, .devices = 1});
    const auto second = ledger.charge(alice, limits, {.memory = 4 * MiB, .devices = 1});

    const auto third = ledger.charge(alice, limits, {.memory = 1, .devices = 1});

    EXPECT_TRUE(second);
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, ErrorCode::memory_limit);
    EXPECT_EQ(third.error().message,
              "1 B of memory asked for: account 1000 has a limit of 12 MiB, of which 12 MiB are reserved");
}

TEST(Ledger, OnePageAboveTheLimitReadsDifferentlyFromTheLimit) {
    Ledger ledger(GiB);

    const auto charge = ledger.charge(alice, {.memory = 12 * MiB, .leases = 1, .devices = 1},
                                      {.memory = 12 * MiB + page_size, .devices = 1});

    ASSERT_FALSE(charge);
    EXPECT_THAT(charge.error().message,
                HasSubstr(std::to_string((12 * MiB + page_size) / KiB) + " KiB of memory asked for"));
}

TEST(Ledger, ALimitThatIsNotWholePagesGivesTheWholePagesInIt) {
    Ledger ledger(GiB);
    const Limits limits{.memory = 2 * page_size - 1, .leases = 9, .devices = 9};

    EXPECT_TRUE(ledger.charge(alice, limits, {.memory = page_size}));
    EXPECT_FALSE(ledger.charge(alice, limits, {.memory = page_size + 1}));
}

TEST(Ledger, OneLeaseTooManyIsRefused) {
    Ledger ledger(GiB);
    const Limits limits{.memory = GiB, .leases = 1, .devices = 9};
    const auto first = ledger.charge(alice, limits, {.memory = MiB, .devices = 1});

    const auto second = ledger.charge(alice, limits, {.memory = MiB, .devices = 1});

    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::lease_limit);
    EXPECT_EQ(second.error().message, "one more lease asked for: account 1000 has a limit of 1, and holds 1");
}

TEST(Ledger, OneDeviceTooManyIsRefused) {
    Ledger ledger(GiB);
    const Limits limits{.memory = GiB, .leases = 9, .devices = 3};
    const auto first = ledger.charge(alice, limits, {.memory = MiB, .devices = 2});

    const auto second = ledger.charge(alice, limits, {.memory = MiB, .devices = 2});

    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::device_limit);
    EXPECT_EQ(second.error().message, "2 devices asked for: account 1000 has a limit of 3, and holds 2");
}

TEST(Ledger, TheHostsLimitRefusesWithoutSayingWhatOthersHold) {
    Ledger ledger(16 * MiB);
    const auto others = ledger.charge(bob, plenty, {.memory = 13 * MiB, .devices = 1});
    const auto own = ledger.charge(alice, plenty, {.memory = 1 * MiB, .devices = 1});

    const auto refused = ledger.charge(alice, plenty, {.memory = 4 * MiB, .devices = 1});

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::memory_limit);
    EXPECT_THAT(
        refused.error().message,
        AllOf(HasSubstr("4 MiB"), HasSubstr("the host's limit of 16 MiB"), HasSubstr("has 1 MiB reserved"),
              Not(HasSubstr("13 MiB")), Not(HasSubstr("14 MiB")), Not(HasSubstr("2 MiB")), Not(HasSubstr("1001"))));
}

TEST(Ledger, ARefusalChangesNothing) {
    Ledger ledger(16 * MiB);
    const Limits limits{.memory = 20 * MiB, .leases = 2, .devices = 4};
    const auto held = ledger.charge(alice, limits, {.memory = 8 * MiB, .devices = 2});
    const AccountFigures before = ledger.figures(alice);
    const HostFigures host_before = ledger.host();

    EXPECT_FALSE(ledger.charge(alice, limits, {.memory = 13 * MiB}));                 // the account's memory
    EXPECT_FALSE(ledger.charge(alice, limits, {.memory = 9 * MiB}));                  // the host's
    EXPECT_FALSE(ledger.charge(alice, limits, {.memory = MiB, .devices = 3}));        // devices
    EXPECT_FALSE(ledger.charge(bob, Limits{}, {.memory = page_size, .devices = 1}));  // no limits at all
    EXPECT_EQ(ledger.figures(alice), before);
    EXPECT_EQ(ledger.host(), host_before);
    EXPECT_EQ(ledger.figures().size(), 1U);
}

TEST(Ledger, NobodyGetsAnythingByTheZeroLimits) {
    Ledger ledger(GiB);

    EXPECT_FALSE(ledger.charge(alice, Limits{}, Claim{}));
    EXPECT_TRUE(ledger.balanced());
}

TEST(Ledger, TheLargestNumberOfPagesCanBeCharged) {
    Ledger ledger(most);

    const auto charge = ledger.charge(alice, plenty, {.memory = most_pages});

    ASSERT_TRUE(charge);
    EXPECT_EQ(ledger.host().reserved, most_pages);
}

TEST(Ledger, BytesThatCannotBeRoundedUpIn64BitsAreRefused) {
    Ledger ledger(most);

    const auto charge = ledger.charge(alice, plenty, {.memory = most});
    const auto just_above = ledger.charge(alice, plenty, {.memory = most_pages + 1});

    ASSERT_FALSE(charge);
    EXPECT_EQ(charge.error().code, ErrorCode::memory_limit);
    EXPECT_FALSE(just_above);
    EXPECT_TRUE(ledger.balanced());
}

TEST(Ledger, ASumBeyond64BitsIsRefused) {
    Ledger ledger(most);
    const auto first = ledger.charge(alice, plenty, {.memory = most_pages});

    const auto same_account = ledger.charge(alice, plenty, {.memory = page_size});
    const auto other_account = ledger.charge(bob, plenty, {.memory = most_pages});

    EXPECT_FALSE(same_account);
    EXPECT_FALSE(other_account);
    EXPECT_EQ(ledger.host().reserved, most_pages);
}

TEST(Ledger, CountsBeyond32BitsAreRefused) {
    Ledger ledger(GiB);
    constexpr std::uint32_t all = std::numeric_limits<std::uint32_t>::max();
    const Limits limits{.memory = GiB, .leases = all, .devices = all};
    auto first = ledger.charge(alice, limits, {.memory = 0, .devices = all});

    const auto second = ledger.charge(alice, limits, {.memory = 0, .devices = 1});
    const auto extended = first->extend(all);

    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::device_limit);
    EXPECT_FALSE(extended);
    EXPECT_EQ(ledger.figures(alice).devices, all);
}

TEST(Ledger, AnExistingLeaseIsChargedAboveEveryLimit) {
    Ledger ledger(MiB);

    const auto existing = ledger.charge_existing(alice, Limits{}, {.memory = 8 * MiB, .devices = 5});
    const auto more = ledger.charge(alice, {.memory = 8 * MiB, .leases = 9, .devices = 9}, {.memory = page_size});

    ASSERT_TRUE(existing);
    EXPECT_EQ(ledger.figures(alice).reserved, 8 * MiB);
    EXPECT_FALSE(more);
}

TEST(Ledger, ExistingLeasesThatCannotBeCountedAreRefused) {
    Ledger ledger(most);
    const auto first = ledger.charge_existing(alice, plenty, {.memory = most_pages, .devices = 1});

    const auto too_much = ledger.charge_existing(bob, plenty, {.memory = page_size});
    const auto not_whole = ledger.charge_existing(bob, plenty, {.memory = most});
    const auto devices = ledger.charge_existing(alice, plenty, {.memory = 0, .devices = 0xffffffff});

    ASSERT_FALSE(too_much);
    EXPECT_EQ(too_much.error().code, ErrorCode::internal);
    EXPECT_FALSE(not_whole);
    EXPECT_FALSE(devices);
    EXPECT_EQ(ledger.figures().size(), 1U);
}

TEST(Ledger, ALoweredLimitTakesNothingAwayAndGivesNothingMore) {
    Ledger ledger(GiB);
    const Limits before{.memory = 12 * MiB, .leases = 9, .devices = 9};
    const Limits lowered{.memory = 4 * MiB, .leases = 9, .devices = 1};
    auto charge = ledger.charge(alice, before, {.memory = 8 * MiB, .devices = 2});

    ledger.set_limits(alice, lowered);

    EXPECT_EQ(ledger.figures(alice).reserved, 8 * MiB);
    EXPECT_EQ(ledger.figures(alice).limits, lowered);
    EXPECT_TRUE(charge->set_mapped(8 * MiB));
    EXPECT_FALSE(charge->extend(1));
    EXPECT_FALSE(ledger.charge(alice, lowered, {.memory = page_size}));
}

TEST(Ledger, WhatIsHeldAboveLoweredLimitsIsSaid) {
    Ledger ledger(GiB);
    auto charge = ledger.charge(alice, plenty, {.memory = 8 * MiB, .devices = 2});
    ASSERT_TRUE(charge);

    ledger.set_limits(alice, {.memory = 4 * MiB, .leases = 0, .devices = 1});

    EXPECT_EQ(above_limits(ledger.figures(alice)),
              "8 MiB of memory, the limit is 4 MiB; 1 lease, the limit is 0; 2 devices, the limit is 1");
}

TEST(Ledger, OfLimitsThatAreNotExceededNothingIsSaid) {
    Ledger ledger(GiB);
    auto charge = ledger.charge(alice, plenty, {.memory = 8 * MiB, .devices = 2});
    ASSERT_TRUE(charge);

    ledger.set_limits(alice, {.memory = 8 * MiB, .leases = 1, .devices = 2});

    EXPECT_EQ(above_limits(ledger.figures(alice)), std::nullopt);
}

TEST(Ledger, LimitsOfAnAccountThatHoldsNothingLeaveNoEntry) {
    Ledger ledger(GiB);

    ledger.set_limits(alice, plenty);

    EXPECT_TRUE(ledger.figures().empty());
}

TEST(Ledger, ALoweredHostLimitGivesNothingMore) {
    Ledger ledger(GiB);
    const auto held = ledger.charge(alice, plenty, {.memory = 8 * MiB});

    ledger.set_host_memory(4 * MiB);

    EXPECT_FALSE(ledger.charge(bob, plenty, {.memory = page_size}));
    EXPECT_EQ(ledger.host().reserved, 8 * MiB);
}

TEST(Ledger, DirectReservationsLeaveTheRestToTheKeepers) {
    Ledger ledger(GiB);
    const Limits limits{.memory = 12 * MiB, .leases = 9, .devices = 9};
    const auto managed = ledger.charge(alice, limits, {.memory = 4 * MiB});
    const auto direct = ledger.charge(alice, limits, {.memory = 5 * MiB, .direct = true});

    const AccountFigures figures = ledger.figures(alice);
    ledger.set_limits(alice, {.memory = MiB, .leases = 9, .devices = 9});

    EXPECT_EQ(figures.reserved, 9 * MiB);
    EXPECT_EQ(figures.direct_reserved, 5 * MiB);
    EXPECT_EQ(figures.managed_memory(), 7 * MiB);
    EXPECT_EQ(ledger.figures(alice).managed_memory(), 0U);
}

TEST(Ledger, FiguresAreInOrderOfUid) {
    Ledger ledger(GiB);
    const auto second = ledger.charge(bob, plenty, {.memory = MiB});
    const auto first = ledger.charge(alice, plenty, {.memory = MiB});

    const auto figures = ledger.figures();

    ASSERT_EQ(figures.size(), 2U);
    EXPECT_EQ(figures[0].uid, alice);
    EXPECT_EQ(figures[1].uid, bob);
}

TEST(Charge, ExtendsAndWithdrawsDevices) {
    Ledger ledger(GiB);
    auto charge = ledger.charge(alice, {.memory = GiB, .leases = 1, .devices = 3}, {.memory = MiB, .devices = 1});

    const auto extended = charge->extend(2);
    const auto too_far = charge->extend(1);
    const std::uint32_t at_most = ledger.figures(alice).devices;
    charge->withdraw(2);

    EXPECT_TRUE(extended);
    ASSERT_FALSE(too_far);
    EXPECT_EQ(too_far.error().code, ErrorCode::device_limit);
    EXPECT_EQ(at_most, 3U);
    EXPECT_EQ(charge->devices(), 1U);
    EXPECT_EQ(ledger.host().devices, 1U);
}

TEST(Charge, WithdrawsNoMoreThanItHas) {
    Ledger ledger(GiB);
    const auto other = ledger.charge(alice, plenty, {.memory = MiB, .devices = 2});
    auto charge = ledger.charge(alice, plenty, {.memory = MiB, .devices = 1});

    charge->withdraw(3);

    EXPECT_EQ(charge->devices(), 0U);
    EXPECT_EQ(ledger.figures(alice).devices, 2U);
}

TEST(Charge, WhatIsMappedIsInTheFigures) {
    Ledger ledger(GiB);
    auto charge = ledger.charge(alice, plenty, {.memory = 4 * MiB});

    EXPECT_TRUE(charge->set_mapped(4 * MiB));
    EXPECT_TRUE(charge->set_mapped(MiB + 1));

    EXPECT_EQ(charge->mapped(), MiB + page_size);
    EXPECT_EQ(ledger.figures(alice).mapped, MiB + page_size);
    EXPECT_EQ(ledger.host().mapped, MiB + page_size);
}

TEST(Charge, AKeeperThatMappedMoreThanIsReservedHasLied) {
    Ledger ledger(GiB);
    auto charge = ledger.charge(alice, plenty, {.memory = 4 * MiB});
    ASSERT_TRUE(charge->set_mapped(MiB));

    const auto beyond = charge->set_mapped(4 * MiB + 1);
    const auto far_beyond = charge->set_mapped(most);

    EXPECT_FALSE(beyond);
    EXPECT_FALSE(far_beyond);
    EXPECT_EQ(ledger.figures(alice).mapped, MiB);
}

TEST(Charge, AKeeperOfADirectLeaseMapsNothing) {
    Ledger ledger(GiB);
    auto charge = ledger.charge(alice, plenty, {.memory = 4 * MiB, .direct = true});

    EXPECT_FALSE(charge->set_mapped(page_size));
    EXPECT_TRUE(charge->set_mapped(0));
}

TEST(Charge, WhatIsStillMappedGoesWithTheToken) {
    Ledger ledger(GiB);
    auto charge = ledger.charge(alice, plenty, {.memory = 4 * MiB});
    ASSERT_TRUE(charge->set_mapped(4 * MiB));

    *charge = Charge();

    EXPECT_TRUE(ledger.balanced());
}

TEST(Charge, MovingItChargesNothingTwice) {
    Ledger ledger(GiB);
    Charge first = ledger.charge(alice, plenty, {.memory = MiB, .devices = 1}).value();
    Charge second = ledger.charge(bob, plenty, {.memory = 2 * MiB, .devices = 1}).value();

    second = std::move(first);

    EXPECT_EQ(second.account_uid(), alice);
    EXPECT_EQ(ledger.host().reserved, MiB);
    EXPECT_EQ(ledger.figures(bob), AccountFigures{.uid = bob});
}

TEST(Charge, AnEmptyOneOwesAndTakesNothing) {
    Charge charge;

    EXPECT_FALSE(charge.valid());
    EXPECT_FALSE(charge.extend(1));
    EXPECT_FALSE(charge.set_mapped(0));
    charge.withdraw(1);
    EXPECT_EQ(charge.devices(), 0U);
}

}  // namespace
}  // namespace iommud
