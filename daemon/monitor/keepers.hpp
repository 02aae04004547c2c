// What becomes of leases: what the vault and the keepers say of them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/log.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/ipc/vault_messages.hpp"
#include "daemon/monitor/lease_book.hpp"

namespace iommud::monitor {

class Monitor;

class Keepers {
  public:
    explicit Keepers(Monitor& monitor);

    // ---- from the vault
    void held(const ipc::HeldLease& held, ipc::Channel channel, UniqueFd pidfd);  // after a restart of the monitor
    void settle();                                                                // the vault has said all
    void granted(const ipc::GrantResult& result, ipc::Channel channel, UniqueFd pidfd);
    void extended(const ipc::ExtendResult& result);
    void died(const ipc::KeeperDied& death, ipc::Channel channel, UniqueFd pidfd);
    void ended(const ipc::LeaseEnded& end);

    // What the vault has just been asked for is given, or given up after Options::grant_timeout: somebody else's call
    // on a device of the same bus may keep the kernel from answering for ever (C37).
    void expect(Lease& lease);

    // Ends a lease: holders are asked, and after `grace_usec` it is over. A keeper that has not begun to release two
    // seconds after that, or not unmapped half a minute after it began, is replaced by its successor, whether it can be
    // killed or not. `revoked`: a direct lease's holder, who could go on mapping in its context, is killed unless the
    // lease has ended by then.
    void take_back(Lease& lease, std::uint64_t grace_usec, const std::string& reason, bool revoked = false);

  private:
    // A keeper begins at once, unless it hangs in the kernel or maps a large range just then; who has begun unmaps,
    // which takes seconds for a lot of memory. Whoever is killed wrongly has a successor that does the same.
    static constexpr std::chrono::seconds patience_to_begin{2};
    static constexpr std::chrono::seconds patience_to_unmap{30};

    [[nodiscard]] static log::Field lease_field(LeaseId id);
    static void fail_waiter(std::optional<Waiter>& waiter, const Error& error);
    void attach(Lease& lease, ipc::Channel channel, UniqueFd pidfd);
    void packet(LeaseId id, const ipc::Packet& packet);
    void channel_ended(LeaseId id, const std::string& why);
    void report(Lease& lease, const ipc::KeeperReport& report);
    void ask_for_devices(Lease& lease);
    void devices(Lease& lease, const ipc::KeeperDevices& has);
    void failed(Lease& lease, const ipc::KeeperFailed& failure);
    void hear_why(const Lease& lease);
    void be_patient(Lease& lease, std::chrono::microseconds patience);
    void lose_patience(LeaseId id);
    void give_up_waiting(Lease& lease);
    void is_given(Lease& lease);
    void given_unbound(const Lease& lease);
    void kill(const Lease& lease, const char* fault);
    void settle_tenants(const Lease& lease);
    void withdraw_tenants(const std::vector<PciAddress>& devices, const Error& why);
    void answer_releases(Lease& lease);

    Monitor& monitor_;
    std::uint64_t next_question_;
};

}  // namespace iommud::monitor
