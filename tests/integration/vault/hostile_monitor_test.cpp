// A monitor under an attacker's control: whatever it sends, nothing is given, and the vault goes on unchanged.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <ostream>

#include "daemon/base/bounds.hpp"
#include "tests/integration/vault/vault_process.hpp"

namespace iommud::test {
namespace {

using Attack = std::function<void(const ipc::Channel&)>;

struct HostileCase {
    const char* name;
    Attack attack;
};

void PrintTo(const HostileCase& one, std::ostream* out) {
    *out << one.name;
}

void send(const ipc::Channel& vault, const ipc::Bytes& bytes, std::initializer_list<BorrowedFd> fds = {}) {
    static_cast<void>(vault.send_bytes(bytes, std::span(fds.begin(), fds.size())));
}

// Sends `message` with that many ends of socket pairs.
template <class Message>
void send_with(const ipc::Channel& vault, const Message& message, std::size_t sockets) {
    std::vector<std::pair<ipc::Channel, ipc::Channel>> pairs;
    std::vector<BorrowedFd> fds;
    while (pairs.size() < sockets) {
        pairs.push_back(ipc::Channel::pair().value());
        fds.push_back(pairs.back().first.fd());
    }
    static_cast<void>(vault.send(message, fds));
}

template <class Change>
Attack bad_grant(Change change) {
    return [change](const ipc::Channel& vault) {
        ipc::GrantLease grant = a_grant(1);
        change(grant);
        send_with(vault, grant, 1);
    };
}

template <class Message>
Attack truncated(Message message) {
    return [message](const ipc::Channel& vault) {
        ipc::Bytes bytes = ipc::encode(message);
        bytes.pop_back();
        send(vault, bytes);
    };
}

UniqueFd a_file() {
    return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

const PciAddress edu{0, 0, 4, 0};

const HostileCase cases[] = {
    {"NoHeader", [](const ipc::Channel& vault) { send(vault, ipc::Bytes(3)); }},
    {"UnknownType", [](const ipc::Channel& vault) { send(vault, ipc::encode(ipc::ViewComplete{})); }},
    {"AFrameOfTheVaultsOwn", [](const ipc::Channel& vault) { send(vault, ipc::encode(ipc::LeaseEnded{1})); }},
    {"AChildsReport",
     [](const ipc::Channel& vault) {
         send(vault, ipc::encode(ipc::ChildReport{true, {}, {}}));
     }},
    {"AnEmptyPacket", [](const ipc::Channel& vault) { ::send(vault.fd().get(), "", 0, MSG_NOSIGNAL); }},
    {"Oversized",
     [](const ipc::Channel& vault) {
         const ipc::Bytes huge(ipc::max_frame + 1);
         ::send(vault.fd().get(), huge.data(), huge.size(), MSG_NOSIGNAL);
     }},
    {"TruncatedGrant", truncated(a_grant(1))},
    {"TruncatedHold", truncated(ipc::Hold{"name", {}})},
    {"LeaseZero", bad_grant([](ipc::GrantLease& grant) { grant.lease = 0; })},
    {"LeaseOfMoreBitsThanEventsHave", bad_grant([](ipc::GrantLease& grant) { grant.lease = ~LeaseId{0}; })},
    {"NoUid", bad_grant([](ipc::GrantLease& grant) { grant.account_uid = ~0U; })},
    {"UnknownMode",
     [](const ipc::Channel& vault) {
         ipc::GrantLease grant = a_grant(1);
         grant.mode = static_cast<Mode>(17);
         send_with(vault, grant, 1);
     }},
    {"GrantWithoutDescriptor", [](const ipc::Channel& vault) { send_with(vault, a_grant(1), 0); }},
    {"GrantWithTwoDescriptors", [](const ipc::Channel& vault) { send_with(vault, a_grant(1), 2); }},
    {"GrantWithThreeDescriptors", [](const ipc::Channel& vault) { send_with(vault, a_grant(1), 3); }},
    {"GrantWithAFile",
     [](const ipc::Channel& vault) {
         const UniqueFd file = a_file();
         send(vault, ipc::encode(a_grant(1)), {file.borrow()});
     }},
    {"GrantWithAPipe",
     [](const ipc::Channel& vault) {
         std::array<int, 2> ends{};
         ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
         const UniqueFd in(ends[0]);
         const UniqueFd out(ends[1]);
         send(vault, ipc::encode(a_grant(1)), {out.borrow()});
     }},
    {"ALeaseTwice",
     [](const ipc::Channel& vault) {
         send_with(vault, a_grant(1), 1);
         send_with(vault, a_grant(1), 1);
     }},
    {"ALeaseBeforeTheLast",
     [](const ipc::Channel& vault) {
         send_with(vault, a_grant(9), 1);
         send_with(vault, a_grant(8), 1);
     }},
    {"SlotBeyondTheLast",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::StartWorker{ipc::max_worker_slot, ConnectionKind::system_bus}, 1);
     }},
    {"SlotTwice",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::StartWorker{3, ConnectionKind::system_bus}, 1);
         send_with(vault, ipc::StartWorker{3, ConnectionKind::system_bus}, 1);
     }},
    {"WorkerWithoutItsConnection",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::StartWorker{0, ConnectionKind::admin}, 1);
     }},
    {"WorkerWhoseConnectionIsNoStream",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::StartWorker{0, ConnectionKind::client}, 2);
     }},
    {"BusWorkerWithAConnection",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::StartWorker{0, ConnectionKind::system_bus}, 2);
     }},
    {"KillWithADescriptor",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::KillChild{ipc::ChildKind::worker, 0}, 1);
     }},
    {"KillOfAnUnknownKind",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::KillChild{static_cast<ipc::ChildKind>(2), 0}, 0);
     }},
    {"LimitForNobody",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::SetLimit{~0U, 0, 0}, 0);
     }},
    {"HoldOfASocketThatDoesNotListen",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::Hold{"x", {}}, 1);
     }},
    {"HoldOfAFile",
     [](const ipc::Channel& vault) {
         const UniqueFd file = a_file();
         send(vault, ipc::encode(ipc::Hold{"x", {}}), {file.borrow()});
     }},
};

// Well-formed, and beyond a bound: what a policy or a user may have asked for, if an end before this one took it.
const HostileCase beyond_bounds[] = {
    {"NoDevices", bad_grant([](ipc::GrantLease& grant) { grant.devices.clear(); })},
    {"OneDeviceTwice", bad_grant([](ipc::GrantLease& grant) { grant.devices.assign(2, edu); })},
    {"TooManyDevices", bad_grant([](ipc::GrantLease& grant) {
         for (std::uint8_t bus = 1; grant.devices.size() <= most_lease_devices; ++bus) {
             grant.devices.push_back({0, bus, 0, 0});
         }
     })},
    {"NoResetForAnotherDevice", bad_grant([](ipc::GrantLease& grant) {
         grant.no_reset_allowed = {{0, 9, 9, 0}};
     })},
    {"MoreMemoryThanThereCanBe", bad_grant([](ipc::GrantLease& grant) { grant.memlock = ~std::uint64_t{0}; })},
    {"NoMaps", bad_grant([](ipc::GrantLease& grant) { grant.maps = 0; })},
    {"TooManyMaps", bad_grant([](ipc::GrantLease& grant) { grant.maps = 1 << 20; })},
    {"NoRecord", bad_grant([](ipc::GrantLease& grant) { grant.record.clear(); })},
    {"OneMapTooMany", bad_grant([](ipc::GrantLease& grant) { grant.maps = most_maps + 1; })},
    {"MoreReservedThanThereCanBe", bad_grant([](ipc::GrantLease& grant) { grant.reserve = std::uint64_t{1} << 62; })},
    {"ACgroupOfMoreThanThereCanBe", bad_grant([](ipc::GrantLease& grant) { grant.memory_max = most_memory + 1; })},
    {"ATokenThatIsNone", bad_grant([](ipc::GrantLease& grant) { grant.vf_token = "a"; })},
};

const HostileCase unheard[] = {
    {"HoldWithoutAName",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::Hold{"", {}}, 0);
     }},
    {"HoldWithALongName",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::Hold{std::string(256, 'x'), {}}, 0);
     }},
    {"MoreThingsThanFit",
     [](const ipc::Channel& vault) {
         const int flags = ::fcntl(vault.fd().get(), F_GETFL);
         ASSERT_EQ(::fcntl(vault.fd().get(), F_SETFL, flags & ~O_NONBLOCK), 0);
         for (int i = 0; i <= 4096; ++i) {
             const ipc::Bytes frame = ipc::encode(ipc::Hold{std::to_string(i), {}});
             ::send(vault.fd().get(), frame.data(), frame.size(), MSG_NOSIGNAL);
         }
     }},
    {"ALimitBeyondAllMemory",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::SetLimit{1000, ~std::uint64_t{0}, 0}, 0);
     }},
    {"ACgroupBeyondAllMemory",
     [](const ipc::Channel& vault) {
         send_with(vault, ipc::SetLimit{1000, 0, most_memory + 1}, 0);
     }},
};

class HostileMonitor : public testing::TestWithParam<HostileCase> {};

TEST_P(HostileMonitor, IsDroppedAndTheVaultServesTheNext) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto hostile = vault.greeted();

    GetParam().attack(hostile.channel);

    EXPECT_TRUE(is_dropped(hostile.channel));
    const auto honest = vault.greeted();
    const LeaseId next_lease = honest.hello.last_lease + 1;
    const ipc::Channel delivery = ask_for(honest.channel, a_grant(next_lease));
    const auto result = next<ipc::GrantResult>(honest.channel);
    ASSERT_TRUE(result);
    EXPECT_TRUE(result->granted) << result->message;
}

INSTANTIATE_TEST_SUITE_P(Frames, HostileMonitor, testing::ValuesIn(cases),
                         [](const testing::TestParamInfo<HostileCase>& one) { return one.param.name; });

class BeyondBounds : public testing::TestWithParam<HostileCase> {};

TEST_P(BeyondBounds, IsRefusedAndTheVaultGoesOn) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();

    GetParam().attack(monitor.channel);

    const auto refused = next<ipc::GrantResult>(monitor.channel);
    ASSERT_TRUE(refused) << "the vault has hung up";
    EXPECT_EQ(refused->lease, 1U);
    EXPECT_FALSE(refused->granted);
    EXPECT_FALSE(refused->message.empty());
    EXPECT_FALSE(child_of(vault.pid(), "iommud-keeper"));
    const ipc::Channel again = ask_for(monitor.channel, a_grant(2));  // 1 is never used again
    const auto result = next<ipc::GrantResult>(monitor.channel);
    ASSERT_TRUE(result);
    EXPECT_TRUE(result->granted) << result->message;
}

INSTANTIATE_TEST_SUITE_P(Frames, BeyondBounds, testing::ValuesIn(beyond_bounds),
                         [](const testing::TestParamInfo<HostileCase>& one) { return one.param.name; });

class BeyondBoundsUnanswered : public testing::TestWithParam<HostileCase> {};

TEST_P(BeyondBoundsUnanswered, ChangesNothingAndTheVaultGoesOn) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    auto monitor = vault.greeted();

    GetParam().attack(monitor.channel);

    const ipc::Channel delivery = ask_for(monitor.channel, a_grant(1));
    const auto result = next<ipc::GrantResult>(monitor.channel);
    ASSERT_TRUE(result) << "the vault has hung up";
    EXPECT_TRUE(result->granted) << result->message;
    monitor.channel.close();
    EXPECT_LE(vault.greeted().things.size(), most_things);
}

INSTANTIATE_TEST_SUITE_P(Frames, BeyondBoundsUnanswered, testing::ValuesIn(unheard),
                         [](const testing::TestParamInfo<HostileCase>& one) { return one.param.name; });

TEST(BeyondBoundsOfAnExtension, IsRefusedAndTheLeaseGoesOn) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto monitor = vault.greeted();
    const ipc::Channel delivery = ask_for(monitor.channel, a_grant(1));
    ipc::Packet packet;
    ASSERT_TRUE(next<ipc::GrantResult>(monitor.channel, &packet));
    const ipc::Channel control(std::move(packet.fds.at(0)));
    ASSERT_TRUE(next<ipc::KeeperReport>(control)) << "it does not come to be a keeper";

    for (const std::vector<PciAddress>& devices :
         {std::vector<PciAddress>{}, std::vector<PciAddress>{edu}, std::vector<PciAddress>(33, edu)}) {
        send_with(monitor.channel,
                  ipc::ExtendLease{.lease = 1, .devices = devices, .no_reset_allowed = {}, .record = {std::byte{1}}},
                  1);
        const auto refused = next<ipc::ExtendResult>(monitor.channel);
        ASSERT_TRUE(refused) << "the vault has hung up";
        EXPECT_FALSE(refused->granted);
    }
    EXPECT_TRUE(child_of(vault.pid(), "iommud-keeper"));
}

TEST(HostileMonitorLeaves, NothingInTheVault) {
    const VaultProcess vault(IOMMUD_FAKE_LIBEXEC);
    const auto before = [&vault] {
        const auto monitor = vault.greeted();
        return vault.descriptors_at_rest();
    }();

    for (const char* name : {"GrantWithThreeDescriptors", "GrantWithAFile", "KillWithADescriptor", "HoldOfAFile"}) {
        const auto hostile = vault.greeted();
        std::find_if(std::begin(cases), std::end(cases), [name](const HostileCase& one) {
            return std::string(one.name) == name;
        })->attack(hostile.channel);
        ASSERT_TRUE(is_dropped(hostile.channel)) << name;
    }

    const auto honest = vault.greeted();
    EXPECT_EQ(vault.descriptors_at_rest(), before);
    EXPECT_TRUE(honest.leases.empty());
}

}  // namespace
}  // namespace iommud::test
