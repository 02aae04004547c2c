// Mode direct, as the vault, the keeper and the client see it.
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "tests/integration/monitor/monitor_process.hpp"

namespace iommud::test {
namespace {

const PciAddress edu = *PciAddress::parse("0000:00:04.0");

// What the monitor has the vault hold.
struct Taint {
    std::uint32_t uid = 0;
    std::string endpoint;
    std::uint64_t node = 0;
    auto fields() { return std::tie(uid, endpoint, node); }
    friend void PrintTo(const Taint& taint, std::ostream* out) { *out << taint.uid << " " << taint.endpoint; }
};

// The test is the caller, and may have been started as root.
void give_up_ipc_lock() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> sets{};
    ASSERT_EQ(::syscall(SYS_capget, &header, sets.data()), 0);
    for (auto* set : {&sets[0].effective, &sets[0].permitted, &sets[0].inheritable}) {
        *set &= ~(1U << CAP_IPC_LOCK);
    }
    ASSERT_EQ(::syscall(SYS_capset, &header, sets.data()), 0);
}

ipc::AcquireRequest acquire(Mode mode) {
    return {.cookie = 3, .devices = {edu}, .mode = mode, .memory = 1 << 20, .label = {}};
}

class Direct : public testing::Test {
  protected:
    void SetUp() override { give_up_ipc_lock(); }

    void allow(const MonitorProcess& monitor, const std::string& more = "") const {
        const std::string uid = std::to_string(::getuid());
        monitor.write_policy("20.json",
                             R"({"version": 1, "rules": [{"id": "direct", "effect": "allow", "modes": ["direct"],)"
                             R"("devices": [{"address": "0000:00:04.0"}], "subjects": [{"uids": ")" +
                                 uid + R"("}])" + more + "}]}");
        EXPECT_EQ(monitor.reload(monitor.connect(true)), "");
    }
};

TEST_F(Direct, ARuleHasToNameIt) {
    const MonitorProcess monitor;
    const Served client = monitor.connect();

    ASSERT_EQ(client.worker.send(acquire(Mode::direct)), ipc::SendResult::sent);

    const auto refused = ipc::decode<ipc::RequestFailed>(next_reply(client).bytes);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, ErrorCode::access_denied);
}

// Hazard C19: its holder could read what others freed.
TEST_F(Direct, IsRefusedWhereFreedMemoryIsExposedUnlessTheRuleSaysOtherwise) {
    const MonitorProcess monitor({}, {}, "--verbose", FreedMemory::exposed);
    allow(monitor);
    const Served client = monitor.connect();

    ASSERT_EQ(client.worker.send(acquire(Mode::direct)), ipc::SendResult::sent);

    const auto refused = ipc::decode<ipc::RequestFailed>(next_reply(client).bytes);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, ErrorCode::unsupported_mode);
    EXPECT_NE(refused->message.find("allow_uncleared_memory"), std::string::npos) << refused->message;
    allow(monitor, R"(, "allow_uncleared_memory": true)");
    ASSERT_EQ(client.worker.send(acquire(Mode::direct)), ipc::SendResult::sent);
    EXPECT_TRUE(monitor.verb<ipc::SetLimit>()) << "which comes before the grant";
}

TEST_F(Direct, IsGivenWherePagesAreCleared) {
    const MonitorProcess monitor({}, {}, "--verbose", FreedMemory::cleared);
    allow(monitor);
    const Served client = monitor.connect();

    ASSERT_EQ(client.worker.send(acquire(Mode::direct)), ipc::SendResult::sent);

    EXPECT_TRUE(monitor.verb<ipc::SetLimit>()) << "which comes before the grant";
}

TEST_F(Direct, TheVaultHoldsTheTaintBeforeItGrants) {
    const MonitorProcess monitor;
    allow(monitor);
    const Served client = monitor.connect();

    ASSERT_EQ(client.worker.send(acquire(Mode::direct)), ipc::SendResult::sent);

    const auto limit = monitor.verb<ipc::SetLimit>();
    ASSERT_TRUE(limit);
    EXPECT_EQ(limit->memlock, 11U << 20) << "what is left of 12 MiB for keepers of managed leases";
    const auto hold = monitor.verb<ipc::Hold>();
    ASSERT_TRUE(hold);
    EXPECT_EQ(hold->name, "taint/0000:00:04.0");
    const auto grant = monitor.verb<ipc::GrantLease>();
    ASSERT_TRUE(grant);
    EXPECT_EQ(grant->mode, Mode::direct);
    EXPECT_EQ(grant->holder_uid, ::getuid());
    EXPECT_EQ(grant->holder_slot, client.slot);
    const auto view = next_answer<ipc::DeviceView>(client.worker);
    ASSERT_TRUE(view);
    EXPECT_TRUE(view->tainted);
}

std::vector<ipc::HeldThing> held(Taint taint) {
    return {{.name = "taint/0000:00:04.0", .value = ipc::encode_value(taint)}};
}

TEST(TaintedDevice, GoesToWhoHadIt) {
    const MonitorProcess monitor({}, held({::getuid(), "", 0}));
    const Served client = monitor.connect();

    ASSERT_EQ(client.worker.send(acquire(Mode::managed)), ipc::SendResult::sent);

    EXPECT_TRUE(monitor.verb<ipc::GrantLease>());
}

// Number 5, of the user that runs the test.
class DeviceOfAnother : public testing::TestWithParam<Taint> {};

TEST_P(DeviceOfAnother, GoesToNobodyBeforeItIsBoundAnew) {
    const MonitorProcess monitor({}, held(GetParam()));
    const Served client = monitor.connect();

    ASSERT_EQ(client.worker.send(acquire(Mode::managed)), ipc::SendResult::sent);

    const auto refused = ipc::decode<ipc::RequestFailed>(next_reply(client).bytes);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, ErrorCode::draining);
    EXPECT_NE(refused->message.find("bound anew"), std::string::npos);
    EXPECT_EQ(refused->message.find("4711"), std::string::npos) << "whose it was is nobody else's to know";
    EXPECT_TRUE(std::filesystem::is_directory(monitor.run_folder() / "rebind" / "0000:00:04.0")) << "a rebind is asked";
}

INSTANTIATE_TEST_SUITE_P(UserOrContainer, DeviceOfAnother,
                         testing::Values(Taint{4711, "", 0}, Taint{::getuid(), "one@1.2", 0}));

TEST(Successor, BeginsAnewAfterAKeeperThatDrained) {
    const MonitorProcess monitor({held_lease(Mode::direct)});
    const Served client = monitor.connect();
    const auto [monitors, successor] = ipc::Channel::pair().value();
    const auto [later_monitors, later] = ipc::Channel::pair().value();
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    const BorrowedFd first[] = {monitors.fd(), process.borrow()};
    const BorrowedFd second[] = {later_monitors.fd(), process.borrow()};
    const ipc::KeeperReport drains{.state = LeaseState::draining, .mapped = 0, .maps = 0};
    const ipc::KeeperReport releases{.state = LeaseState::releasing, .mapped = 0, .maps = 0};
    ASSERT_EQ(monitor.vault().send(ipc::KeeperDied{.lease = 5, .status = "x"}, first), ipc::SendResult::sent);
    ASSERT_EQ(successor.send(drains), ipc::SendResult::sent);
    auto view = next_answer<ipc::LeaseView>(client.worker);
    while (view && view->state != LeaseState::draining) {
        view = next_answer<ipc::LeaseView>(client.worker);
    }
    ASSERT_TRUE(view);

    ASSERT_EQ(monitor.vault().send(ipc::KeeperDied{.lease = 5, .status = "x", .revoked = true}, second),
              ipc::SendResult::sent);
    ASSERT_EQ(later.send(releases), ipc::SendResult::sent);
    ASSERT_EQ(later.send(drains), ipc::SendResult::sent);

    view = next_answer<ipc::LeaseView>(client.worker);
    while (view && view->state != LeaseState::draining) {
        view = next_answer<ipc::LeaseView>(client.worker);
    }
    EXPECT_TRUE(view) << "it was killed for what it said";
    ASSERT_EQ(client.worker.send(acquire(Mode::managed)), ipc::SendResult::sent);
    EXPECT_TRUE(ipc::decode<ipc::RequestFailed>(next_reply(client).bytes));
    ipc::Packet packet;
    while (monitor.vault().receive(packet) == ipc::ReceiveResult::packet) {
        EXPECT_FALSE(ipc::decode<ipc::KillChild>(packet.bytes));
    }
}

constexpr const char* token = "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3";
constexpr const char* rules_token = "00000000-0000-0000-0000-0000000000ff";

constexpr PciAddress physical_function{.slot = 8};

class VfToken : public Direct {
  protected:
    struct Given {
        std::string token;
        std::vector<PciAddress> to;
        bool operator==(const Given&) const = default;
    };

    static void give_both(const MonitorProcess& monitor, const std::string& more = "") {
        const std::string uid = std::to_string(::getuid());
        monitor.write_policy("10.json", R"({"version": 1, "accounts": [{"match": {"uids": ")" + uid +
                                            R"("}, "memory": "12MiB"}], "rules": [{"id": "both", "effect": "allow",)"
                                            R"("subjects": [{"uids": ")" +
                                            uid + R"("}], "devices": [{"address": "0000:00:0*"}])" + more + "}]}");
        ASSERT_EQ(monitor.reload(monitor.connect(true)), "");
    }

    [[nodiscard]] static Given granted(const MonitorProcess& monitor, std::vector<PciAddress> devices,
                                       const std::string& asked) {
        const Served client = monitor.connect();
        ipc::AcquireRequest request = acquire(Mode::managed);
        request.devices = std::move(devices);
        request.vf_token = asked;
        EXPECT_EQ(client.worker.send(request), ipc::SendResult::sent);
        const auto grant = monitor.verb<ipc::GrantLease>();
        return grant ? Given{grant->vf_token, grant->vf_token_for} : Given{"no grant", {}};
    }
};

TEST_F(VfToken, IsForTheFunctionsThatTakePartInSriov) {
    const MonitorProcess monitor;
    give_both(monitor);

    EXPECT_EQ(granted(monitor, {edu, physical_function}, token), (Given{token, {physical_function}}));
}

TEST_F(VfToken, IsNotGivenWhenThereIsNone) {
    const MonitorProcess monitor;
    give_both(monitor);

    EXPECT_EQ(granted(monitor, {edu, physical_function}, ""), Given());
}

TEST_F(VfToken, OfARuleIsUsedWhereNoneIsAskedWith) {
    const MonitorProcess monitor;
    give_both(monitor, std::string(R"(, "vf_token": ")") + rules_token + "\"");

    EXPECT_EQ(granted(monitor, {edu, physical_function}, ""), (Given{rules_token, {physical_function}}));
}

TEST_F(VfToken, OfARuleIsForNobodyWhereNoDeviceTakesOne) {
    const MonitorProcess monitor;
    give_both(monitor, std::string(R"(, "vf_token": ")") + rules_token + "\"");

    EXPECT_EQ(granted(monitor, {edu}, ""), Given());
}

TEST_F(VfToken, ThatNoDeviceTakesIsRefused) {
    const MonitorProcess monitor;
    const Served client = monitor.connect();
    ipc::AcquireRequest request = acquire(Mode::managed);
    request.vf_token = token;

    ASSERT_EQ(client.worker.send(request), ipc::SendResult::sent);

    const auto refused = ipc::decode<ipc::RequestFailed>(next_reply(client).bytes);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, ErrorCode::invalid_argument);
    EXPECT_NE(refused->message.find("none of the devices takes one"), std::string::npos) << refused->message;
}

TEST_F(VfToken, ThatIsNoUuidIsRefusedAndNotRepeated) {
    const MonitorProcess monitor;
    const Served client = monitor.connect();
    ipc::AcquireRequest request = acquire(Mode::managed);
    request.vf_token = "swordfish";

    ASSERT_EQ(client.worker.send(request), ipc::SendResult::sent);

    const auto refused = ipc::decode<ipc::RequestFailed>(next_reply(client).bytes);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, ErrorCode::invalid_argument);
    EXPECT_EQ(refused->message.find("swordfish"), std::string::npos);
}

TEST_F(VfToken, IsNotForModeDirect) {
    const MonitorProcess monitor;
    allow(monitor);
    const Served client = monitor.connect();
    ipc::AcquireRequest request = acquire(Mode::direct);
    request.vf_token = token;

    ASSERT_EQ(client.worker.send(request), ipc::SendResult::sent);

    const auto refused = ipc::decode<ipc::RequestFailed>(next_reply(client).bytes);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, ErrorCode::invalid_argument);
}

struct OfMode {
    Mode mode;
    friend void PrintTo(const OfMode& of, std::ostream* out) { *out << name_of(of.mode); }
};
class Revocation : public Direct, public testing::WithParamInterface<OfMode> {};

TEST_P(Revocation, CondemnsTheHolderOfADirectLeaseOnly) {
    const MonitorProcess monitor({held_lease(GetParam().mode)});
    const Served admin = monitor.connect(true);

    ASSERT_EQ(admin.worker.send(ipc::RevokeRequest{.cookie = 7, .lease = 5, .grace_usec = 0, .reason = "a test"}),
              ipc::SendResult::sent);

    const auto told = monitor.keeper_hears<ipc::TakeBack>(0);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->kill_holder, GetParam().mode == Mode::direct);
}

INSTANTIATE_TEST_SUITE_P(Modes, Revocation, testing::Values(OfMode{Mode::managed}, OfMode{Mode::direct}));

// Its child at the vault is no keeper, which nobody would have to be patient with.
TEST(DirectMode, ALeaseThatSettlesWhenTheMonitorComesDrains) {
    LeaseRecord record = held_lease(Mode::direct);
    record.label = settling;
    const MonitorProcess monitor({record});
    const Served client = monitor.connect();

    ipc::AcquireRequest request;
    request.devices = {*PciAddress::parse("0000:00:04.0")};
    request.memory = 4096;
    ASSERT_EQ(client.worker.send(request), ipc::SendResult::sent);

    const auto refused = next_answer<ipc::RequestFailed>(client.worker);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, ErrorCode::draining);
}

}  // namespace
}  // namespace iommud::test
