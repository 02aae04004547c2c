// What becomes of leases: what the vault and the keepers say of them.
#pragma once

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
    void held_tenant(const ipc::HeldThing& thing);
    void settle();  // the vault has said all
    void granted(const ipc::GrantResult& result, ipc::Channel channel, UniqueFd pidfd);
    void extended(const ipc::ExtendResult& result);
    void died(const ipc::KeeperDied& death, ipc::Channel channel, UniqueFd pidfd);
    void ended(const ipc::LeaseEnded& end);

    // Ends a lease: holders are asked, and after `grace_usec` it is over. A keeper that has not begun to release two
    // seconds after that, or not unmapped half a minute after it began, is replaced by its successor, whether it can be
    // killed or not. `revoked`: a direct lease's holder, who could go on mapping in its context, is killed unless the
    // lease has ended by then.
    void take_back(Lease& lease, std::uint64_t grace_usec, const std::string& reason, bool revoked = false);

    // The devices of `asked` that `holder`, a uid, may have through `endpoint` although they may not have a working
    // reset: nobody else had them since they were last reset, or the rule says so. Another uid of the same account is
    // somebody else (C16).
    [[nodiscard]] std::vector<PciAddress> no_reset_allowed(const std::vector<PciAddress>& asked, std::uint32_t holder,
                                                           const std::string& endpoint, bool rule_allows) const;

  private:
    struct Tenant {                  // who had a device that cannot be reset, last
        std::uint32_t holder = ~0U;  // its uid; nobody's: not known, so that everybody else is another
        std::string endpoint;
        auto operator<=>(const Tenant&) const = default;
        // The uid last: what an older daemon wrote, which knew the account only, is not read as one.
        auto fields() { return std::tie(endpoint, holder); }
    };

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
    void given_unbound(const Lease& lease);
    void kill(const Lease& lease, const char* fault);
    void remember_tenants(const Lease& lease, const std::vector<PciAddress>& no_reset);
    void answer_releases(Lease& lease);

    Monitor& monitor_;
    std::map<PciAddress, Tenant> tenants_;
    std::uint64_t next_question_;
};

}  // namespace iommud::monitor
