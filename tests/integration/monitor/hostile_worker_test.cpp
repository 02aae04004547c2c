// A worker under an attacker's control acts as the one client it serves, or is killed (I1, I4): nothing is given, and
// others are not touched.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/integration/lingering.hpp"
#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

const PciAddress edu = *PciAddress::parse("0000:00:04.0");
const PciAddress not_granted = *PciAddress::parse("0000:00:06.0");

ipc::AcquireRequest acquire(const PciAddress& device, std::optional<std::uint64_t> memory = 4096) {
    return {.cookie = 1, .devices = {device}, .mode = Mode::managed, .memory = memory, .label = "hostile"};
}

struct Hostility {
    const char* name;
    ipc::Bytes (*frame)();
    friend void PrintTo(const Hostility& hostility, std::ostream* out) { *out << hostility.name; }
};

ipc::Bytes changed(ipc::Bytes frame, std::size_t at, std::uint8_t value) {
    frame.at(at) = std::byte{value};
    return frame;
}

class HostileWorker : public testing::TestWithParam<Hostility> {};

TEST_P(HostileWorker, IsKilledAndOthersAreServed) {
    const MonitorProcess monitor;
    const Served hostile = monitor.connect();
    const Served other = monitor.connect();

    ASSERT_EQ(hostile.worker.send_bytes(GetParam().frame()), ipc::SendResult::sent);

    const auto killed = monitor.verb<ipc::KillChild>();
    ASSERT_TRUE(killed) << "its next verb is no kill";
    EXPECT_EQ(killed->kind, ipc::ChildKind::worker);
    EXPECT_EQ(killed->id, hostile.slot);
    ASSERT_EQ(other.worker.send(ipc::AccountsRequest{.cookie = 9}), ipc::SendResult::sent);
    EXPECT_TRUE(ipc::decode<ipc::AccountsEntries>(next_reply(other).bytes));
    EXPECT_TRUE(monitor.alive());
}

INSTANTIATE_TEST_SUITE_P(
    Frames, HostileWorker,
    testing::Values(
        Hostility{"of an unknown type", [] { return changed(ipc::encode(ipc::AccountsRequest{}), 0, 250); }},
        Hostility{"that is the vault's", [] { return ipc::encode(ipc::GrantLease{}); }},
        Hostility{"that is the monitor's own", [] { return ipc::encode(ipc::RequestDone{.cookie = 1}); }},
        Hostility{"that is a keeper's", [] { return ipc::encode(ipc::KeeperReport{}); }},
        Hostility{"of an administrator: Revoke", [] { return ipc::encode(ipc::RevokeRequest{}); }},
        Hostility{"of an administrator: Reload", [] { return ipc::encode(ipc::ReloadRequest{}); }},
        Hostility{"of an administrator: GetPolicy", [] { return ipc::encode(ipc::PolicyRequest{}); }},
        Hostility{"that vouches for somebody",
                  [] {
                      return ipc::encode(ipc::VouchedRequest{
                          .cookie = 1, .uid = ::getuid(), .groups = {}, .request = ipc::encode(acquire(edu))});
                  }},
        Hostility{"cut off",
                  [] {
                      ipc::Bytes frame = ipc::encode(acquire(edu));
                      frame.resize(frame.size() - 1);
                      return frame;
                  }},
        Hostility{"with a byte too many",
                  [] {
                      ipc::Bytes frame = ipc::encode(acquire(edu));
                      frame.push_back(std::byte{0});
                      return frame;
                  }},
        Hostility{"shorter than a header", [] { return ipc::Bytes(3); }},
        Hostility{"as large as can be", [] { return ipc::Bytes(ipc::max_frame); }},
        Hostility{"whose mode does not exist", [] {
                      ipc::AcquireRequest request = acquire(edu);
                      request.mode = static_cast<Mode>(7);
                      return ipc::encode(request);
                  }}));

// The monitor receives no descriptor from anybody's worker, whatever comes with it and however good the frame is: the
// last close of one could wait (I1, I10).
TEST(HostileWorkerDescriptors, OfAnyKindAndNumberAreFatalToItAndToNobodyElse) {
    const MonitorProcess monitor;
    const Served other = monitor.connect();
    const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto pair = ipc::Channel::pair().value();
    const std::vector<std::vector<BorrowedFd>> kinds{{file.borrow()},
                                                     {listener.borrow()},
                                                     {pair.first.fd()},
                                                     std::vector<BorrowedFd>(2, pair.first.fd()),
                                                     std::vector<BorrowedFd>(ipc::max_fds, file.borrow())};

    for (const std::vector<BorrowedFd>& fds : kinds) {
        const Served hostile = monitor.connect();
        const ipc::SendResult sent = hostile.worker.send(acquire(edu), fds);
        if (kernel_refuses_descriptors()) {
            ASSERT_EQ(sent, ipc::SendResult::failed) << "SO_PASSRIGHTS";
            continue;
        }
        ASSERT_EQ(sent, ipc::SendResult::sent);

        const auto killed = monitor.verb<ipc::KillChild>();
        ASSERT_TRUE(killed) << "its next verb is no kill, with " << fds.size() << " descriptors";
        EXPECT_EQ(killed->id, hostile.slot);
        // What it asked for is not done either: the next verb is the next worker's.
    }
    const Served honest = monitor.connect();
    ASSERT_EQ(honest.worker.send(acquire(edu)), ipc::SendResult::sent);
    EXPECT_TRUE(monitor.verb<ipc::GrantLease>());
    ASSERT_EQ(other.worker.send(ipc::AccountsRequest{.cookie = 9}), ipc::SendResult::sent);
    EXPECT_TRUE(ipc::decode<ipc::AccountsEntries>(next_reply(other).bytes));
    EXPECT_TRUE(monitor.alive());
}

TEST(HostileWorkerRequest, ForADeviceThatItsClientMayNotHaveIsRefused) {
    const MonitorProcess monitor;
    const Served hostile = monitor.connect();

    ASSERT_EQ(hostile.worker.send(acquire(not_granted)), ipc::SendResult::sent);

    const auto failed = ipc::decode<ipc::RequestFailed>(next_reply(hostile).bytes);
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->code, ErrorCode::access_denied);
}

TEST(HostileWorkerRequest, ForMoreThanTheAccountHasIsRefused) {
    const MonitorProcess monitor;
    const Served hostile = monitor.connect();

    for (const std::uint64_t memory : {(std::uint64_t{12} << 20) + 1, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
        ASSERT_EQ(hostile.worker.send(acquire(edu, memory)), ipc::SendResult::sent);
        const auto failed = ipc::decode<ipc::RequestFailed>(next_reply(hostile).bytes);
        ASSERT_TRUE(failed) << memory;
        EXPECT_EQ(failed->code, ErrorCode::memory_limit) << memory;
    }
}

TEST(HostileWorkerRequest, ForADeviceTwiceNoneOrTooManyIsRefused) {
    const MonitorProcess monitor;
    const Served hostile = monitor.connect();

    for (const std::vector<PciAddress>& devices :
         {std::vector<PciAddress>{}, std::vector<PciAddress>{edu, edu}, std::vector<PciAddress>(33, edu)}) {
        ipc::AcquireRequest request = acquire(edu);
        request.devices = devices;
        ASSERT_EQ(hostile.worker.send(request), ipc::SendResult::sent);
        const auto failed = ipc::decode<ipc::RequestFailed>(next_reply(hostile).bytes);
        ASSERT_TRUE(failed) << devices.size();
        EXPECT_EQ(failed->code, ErrorCode::invalid_argument);
    }
}

TEST(HostileWorkerRequest, OnALeaseThatIsNotItsClientsIsRefused) {
    LeaseRecord somebody_elses;  // though it is charged to the same account
    somebody_elses.id = 7;
    somebody_elses.account_uid = ::getuid();
    somebody_elses.holder_uid = ::getuid() + 1;
    somebody_elses.devices = {not_granted};
    LeaseRecord of_a_container = somebody_elses;
    of_a_container.id = 8;
    of_a_container.holder_uid = ::getuid();
    of_a_container.endpoint = "a-container";
    of_a_container.devices = {};
    const MonitorProcess monitor({somebody_elses, of_a_container});
    const auto limit = monitor.verb<ipc::SetLimit>();  // policy may have changed while there was no monitor
    ASSERT_TRUE(limit);
    EXPECT_EQ(limit->memlock, std::uint64_t{12} << 20);
    const Served hostile = monitor.connect();

    for (const LeaseId lease : {LeaseId{7}, LeaseId{8}, LeaseId{0}, LeaseId{1}, ~LeaseId{0}}) {
        ASSERT_EQ(hostile.worker.send(ipc::ReleaseRequest{.cookie = 1, .lease = lease}), ipc::SendResult::sent);
        const auto release = ipc::decode<ipc::RequestFailed>(next_reply(hostile).bytes);
        ASSERT_TRUE(release) << lease;
        EXPECT_EQ(release->code, ErrorCode::no_such_lease) << lease;
        ASSERT_EQ(hostile.worker.send(ipc::AddRequest{.cookie = 2, .lease = lease, .devices = {edu}}),
                  ipc::SendResult::sent);
        const auto add = ipc::decode<ipc::RequestFailed>(next_reply(hostile).bytes);
        ASSERT_TRUE(add) << lease;
        EXPECT_EQ(add->code, ErrorCode::no_such_lease) << lease;
    }
}

TEST(HostileWorkerRequest, AboutSomebodyElseIsRefused) {
    const MonitorProcess monitor;
    const Served hostile = monitor.connect();

    ipc::ExplainRequest request;
    request.user = "root";
    request.devices = {edu};
    ASSERT_EQ(hostile.worker.send(request), ipc::SendResult::sent);

    const auto failed = ipc::decode<ipc::RequestFailed>(next_reply(hostile).bytes);
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->code, ErrorCode::access_denied);
}

TEST(HostileWorkerRequest, ThatIsGoodReachesTheVaultChargedToItsClient) {
    const MonitorProcess monitor;
    const Served honest = monitor.connect();

    ASSERT_EQ(honest.worker.send(acquire(edu)), ipc::SendResult::sent);

    const auto grant = monitor.verb<ipc::GrantLease>();
    ASSERT_TRUE(grant);
    EXPECT_EQ(grant->account_uid, ::getuid());
    EXPECT_EQ(grant->reserve, 4096U);
    EXPECT_EQ(grant->memlock, std::uint64_t{12} << 20);
    EXPECT_EQ(grant->devices, std::vector<PciAddress>{edu});
}

}  // namespace
}  // namespace iommud::test
