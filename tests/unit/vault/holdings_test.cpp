#include "daemon/vault/holdings.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>

namespace iommud::vault {
namespace {

using namespace std::chrono_literals;

ipc::GrantLease grant_of(LeaseId lease) {
    ipc::GrantLease grant;
    grant.lease = lease;
    return grant;
}

TEST(Holdings, LeaseIdsOnlyGrow) {
    Holdings holdings;
    holdings.last_lease = 5;

    EXPECT_TRUE(holdings.admit(grant_of(6)));
    EXPECT_FALSE(holdings.admit(grant_of(5)));
    EXPECT_FALSE(holdings.admit(grant_of(1)));
}

TEST(Holdings, LeasesHaveABound) {
    Holdings holdings;
    for (LeaseId id = 1; id <= most_leases; ++id) {
        holdings.leases[id];
    }
    holdings.last_lease = most_leases;

    EXPECT_TRUE(holdings.admit(grant_of(most_leases + 1))) << "who asks has not lost count";
    EXPECT_EQ(holdings.room_for(grant_of(most_leases + 1)).error().code, ErrorCode::lease_limit);
    holdings.leases.erase(1);
    EXPECT_TRUE(holdings.room_for(grant_of(most_leases + 1)));
}

TEST(Holdings, AWorkerSlotIsTakenOnce) {
    Holdings holdings;
    holdings.workers[3];

    EXPECT_FALSE(holdings.admit(ipc::StartWorker{3, ConnectionKind::client}));
    EXPECT_TRUE(holdings.admit(ipc::StartWorker{4, ConnectionKind::client}));
}

TEST(Holdings, ThingsHaveABoundButMayBeReplaced) {
    Holdings holdings;
    for (std::size_t i = 0; i < most_things; ++i) {
        holdings.things[std::to_string(i)];
    }

    EXPECT_FALSE(holdings.room_for(ipc::Hold{"new", {}}));
    EXPECT_TRUE(holdings.room_for(ipc::Hold{"0", {}}));
}

TEST(BackOff, StartsAtOnceDoublesAndEndsAtTenSeconds) {
    EXPECT_EQ(back_off(1), 0ms);
    EXPECT_EQ(back_off(2), 100ms);
    EXPECT_EQ(back_off(3), 200ms);
    EXPECT_EQ(back_off(8), 6400ms);
    EXPECT_EQ(back_off(9), 10s);
    EXPECT_EQ(back_off(4'000'000'000), 10s);
}

TEST(DescribeExit, SaysItInWords) {
    EXPECT_EQ(describe_exit(CLD_EXITED, 3), "exited 3");
    EXPECT_EQ(describe_exit(CLD_KILLED, SIGSYS), "killed by SIGSYS");
    EXPECT_EQ(describe_exit(CLD_DUMPED, SIGSEGV), "killed by SIGSEGV");
    EXPECT_EQ(describe_exit(CLD_KILLED, 40), "killed by signal 40");
}

}  // namespace
}  // namespace iommud::vault
