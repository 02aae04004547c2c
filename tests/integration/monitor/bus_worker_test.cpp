// The worker of the system bus says who asks, and is believed as far as policy's "bus_acquire" goes: uid and groups, of
// requests that are open there (C12).
#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

const PciAddress edu = *PciAddress::parse("0000:00:04.0");
const PciAddress other = *PciAddress::parse("0000:00:06.0");
constexpr const char* bus_on = R"({"version": 1, "host": {"bus_acquire": true}})";

ipc::AcquireRequest acquire(const PciAddress& device, Mode mode = Mode::managed) {
    return {.cookie = 1, .devices = {device}, .mode = mode, .memory = 4096, .label = "bus"};
}

template <class Request>
ipc::VouchedRequest vouch(const Request& request, std::uint32_t uid = ::getuid(),
                          std::vector<std::uint32_t> groups = {}) {
    return {.cookie = 1, .uid = uid, .groups = std::move(groups), .request = ipc::encode(request)};
}

class BusWorker : public testing::Test {
  protected:
    void begin(const std::string& policy = bus_on, const std::vector<LeaseRecord>& held = {}) {
        monitor = std::make_unique<MonitorProcess>(held, std::vector<ipc::HeldThing>{}, "--system-bus");
        const bool limits = !held.empty();  // of the one account, at start and at every reload
        ASSERT_TRUE(!limits || monitor->verb<ipc::SetLimit>());
        bus = monitor->system_bus_worker();
        const Served admin = monitor->connect(true);
        monitor->write_policy("20.json", policy);
        ASSERT_EQ(monitor->reload(admin), "");
        ASSERT_TRUE(!limits || monitor->verb<ipc::SetLimit>());
    }
    // The error that `request` is answered with.
    template <class Request>
    ErrorCode refusal(const Request& request) {
        EXPECT_EQ(bus.worker.send(request), ipc::SendResult::sent);
        const auto failed = ipc::decode<ipc::RequestFailed>(next_reply(bus).bytes);
        EXPECT_TRUE(failed) << "not refused";
        return failed.value_or(ipc::RequestFailed{}).code;
    }
    template <class Request>
    void expect_killed(const Request& request) {
        ASSERT_EQ(bus.worker.send(request), ipc::SendResult::sent);
        const auto killed = monitor->verb<ipc::KillChild>();
        ASSERT_TRUE(killed) << "its next verb is no kill";
        EXPECT_EQ(killed->kind, ipc::ChildKind::worker);
        EXPECT_EQ(killed->id, bus.slot);
    }
    std::unique_ptr<MonitorProcess> monitor;
    Served bus;
};

LeaseRecord lease_record(LeaseId id, std::uint32_t holder, const char* endpoint, const PciAddress& device) {
    LeaseRecord record;
    record.id = id;
    record.account_uid = ::getuid();
    record.holder_uid = holder;
    record.endpoint = endpoint;
    record.devices = {device};
    record.memory = 4096;
    return record;
}

TEST_F(BusWorker, GetsALeaseForWhomItVouches) {
    begin();

    ASSERT_EQ(bus.worker.send(vouch(acquire(edu))), ipc::SendResult::sent);

    const auto grant = monitor->verb<ipc::GrantLease>();
    ASSERT_TRUE(grant);
    EXPECT_EQ(grant->account_uid, ::getuid());
    const auto record = ipc::decode_value<LeaseRecord>(grant->record);
    ASSERT_TRUE(record);
    EXPECT_EQ(record->holder_uid, ::getuid());
    EXPECT_EQ(record->endpoint, bus_endpoint);
    EXPECT_TRUE(next_answer<ipc::DeliveryComing>(bus.worker));
}

TEST_F(BusWorker, GetsNothingUnlessPolicySaysSo) {
    begin(R"({"version": 1, "host": {"bus_acquire": false}})");

    EXPECT_EQ(refusal(vouch(acquire(edu))), ErrorCode::access_denied);
    EXPECT_EQ(refusal(vouch(ipc::AccountsRequest{.cookie = 1})), ErrorCode::access_denied);
}

TEST_F(BusWorker, GetsWhatPolicyGivesToThatUidAndNoMore) {
    begin();

    EXPECT_EQ(refusal(vouch(acquire(other))), ErrorCode::access_denied);
    EXPECT_EQ(refusal(vouch(acquire(edu), ::getuid() + 1)), ErrorCode::access_denied);
    ipc::ExplainRequest about_root;
    about_root.cookie = 1;
    about_root.user = "root";
    about_root.devices = {edu};
    EXPECT_EQ(refusal(vouch(about_root)), ErrorCode::access_denied);
}

TEST_F(BusWorker, GetsByAGroupThatItVouchesFor) {
    begin(
        R"({"version": 1, "host": {"bus_acquire": true}, "accounts": [{"match": {"group": "daemon"}, "memory": "1MiB"}],
             "rules": [{"id": "g", "effect": "allow", "subjects": [{"group": "daemon"}],
                        "devices": [{"address": "0000:00:06.0"}]}]})");

    EXPECT_EQ(refusal(vouch(acquire(other), 4321, {})), ErrorCode::access_denied);
    ASSERT_EQ(bus.worker.send(vouch(acquire(other), 4321, {1})), ipc::SendResult::sent);

    EXPECT_TRUE(monitor->verb<ipc::GrantLease>());
}

TEST_F(BusWorker, IsOfNoUnitThatAllowsAndOfAnyThatDenies) {
    begin(R"({"version": 1, "host": {"bus_acquire": true}, "rules": [
             {"id": "u", "effect": "allow", "subjects": [{"unit": "x.service"}], "devices": [{"address": "0000:00:06.0"}]},
             {"id": "e", "effect": "allow", "subjects": [{"endpoint": "*"}], "devices": [{"address": "0000:00:06.0"}]},
             {"id": "d", "effect": "deny", "subjects": [{"unit": "y.service"}]}]})");

    EXPECT_EQ(refusal(vouch(acquire(other))), ErrorCode::access_denied);
    EXPECT_EQ(refusal(vouch(acquire(edu))), ErrorCode::access_denied);
}

TEST_F(BusWorker, IsDeniedWhatAnyContainerIs) {
    begin(R"({"version": 1, "host": {"bus_acquire": true},
             "rules": [{"id": "d", "effect": "deny", "subjects": [{"endpoint": "web-1"}]}]})");

    EXPECT_EQ(refusal(vouch(acquire(edu))), ErrorCode::access_denied);
}

TEST_F(BusWorker, GetsManagedLeasesOnly) {
    begin(R"({"version": 1, "host": {"bus_acquire": true}, "rules": [{"id": "direct", "effect": "allow",
             "subjects": [{"uids": "0-70000"}], "devices": [{"address": "0000:00:06.0"}], "modes": ["direct", "legacy"]}]})");

    EXPECT_EQ(refusal(vouch(acquire(other, Mode::direct))), ErrorCode::unsupported_mode);
    EXPECT_EQ(refusal(vouch(acquire(other, Mode::legacy))), ErrorCode::unsupported_mode);
}

TEST_F(BusWorker, ActsOnLeasesThatTheUidGotThereAndOnNoOthers) {
    const std::uint32_t me = ::getuid();
    begin(bus_on, {lease_record(7, me + 1, bus_endpoint, edu), lease_record(8, me, "", other)});

    EXPECT_EQ(refusal(vouch(ipc::ReleaseRequest{.cookie = 1, .lease = 7})), ErrorCode::no_such_lease)
        << "another uid's";
    EXPECT_EQ(refusal(vouch(ipc::ReleaseRequest{.cookie = 1, .lease = 8})), ErrorCode::no_such_lease)
        << "got at the host's socket";
    EXPECT_EQ(refusal(vouch(ipc::AddRequest{.cookie = 1, .lease = 7, .devices = {other}})), ErrorCode::no_such_lease);
    EXPECT_EQ(refusal(vouch(ipc::ReleaseRequest{.cookie = 1, .lease = 7}, 0)), ErrorCode::no_such_lease)
        << "root is nobody special";
}

TEST_F(BusWorker, MakesNoAdministratorOfRoot) {
    begin();
    expect_killed(vouch(ipc::ReloadRequest{.cookie = 1}, 0));
}

TEST_F(BusWorker, MayNotVouchForSomebodyWhoVouches) {
    begin();
    expect_killed(vouch(vouch(acquire(edu))));
}

TEST_F(BusWorker, HasNothingToAskForItself) {
    begin();
    expect_killed(acquire(edu));
}

TEST_F(BusWorker, MayNotVouchForNobody) {
    begin();
    expect_killed(vouch(acquire(edu), 0xffffffff));
}

TEST_F(BusWorker, IsReplacedWhenItEnds) {
    begin();
    bus.worker.close();

    ASSERT_EQ(monitor->vault().send(ipc::WorkerExited{.slot = bus.slot, .status = "exited 3"}), ipc::SendResult::sent);

    const auto start = monitor->verb<ipc::StartWorker>();
    ASSERT_TRUE(start);
    EXPECT_EQ(start->kind, ConnectionKind::system_bus);
}

TEST(ClientsWorker, MayNotVouchEvenWherePolicyTakesTheBussWord) {
    const MonitorProcess monitor;
    const Served admin = monitor.connect(true);
    monitor.write_policy("20.json", bus_on);
    ASSERT_EQ(monitor.reload(admin), "");
    const Served hostile = monitor.connect();

    ASSERT_EQ(hostile.worker.send(vouch(acquire(edu), 0)), ipc::SendResult::sent);

    const auto killed = monitor.verb<ipc::KillChild>();
    ASSERT_TRUE(killed) << "its next verb is no kill";
    EXPECT_EQ(killed->id, hostile.slot);
}

}  // namespace
}  // namespace iommud::test
