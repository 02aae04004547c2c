// Who owes the host how much: memory, leases and devices, per account and for the whole host. Pure: it knows no
// process and no kernel. Nothing is given that was not charged here first, and a charge ends with its token only.
//
// Bytes are counted in whole pages, rounded up, as the kernel counts pinned memory.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/ledger/charge.hpp"

namespace iommud {

// What policy allows an account. The zero value allows nothing.
struct Limits {
    std::uint64_t memory = 0;  // bytes
    std::uint32_t leases = 0;
    std::uint32_t devices = 0;
    bool operator==(const Limits&) const = default;
};

// What one lease asks for.
struct Claim {
    std::uint64_t memory = 0;  // bytes, not yet rounded
    std::uint32_t devices = 0;
    bool direct = false;  // the caller maps by itself (modes direct and legacy)
};

struct AccountFigures {
    std::uint32_t uid = 0;
    Limits limits{};
    std::uint64_t reserved = 0;         // bytes
    std::uint64_t direct_reserved = 0;  // of these, by direct and legacy leases
    std::uint64_t mapped = 0;           // bytes, of managed leases; never more than reserved
    std::uint32_t leases = 0;
    std::uint32_t devices = 0;
    bool operator==(const AccountFigures&) const = default;

    // RLIMIT_MEMLOCK of each of the account's keepers (DESIGN §4); zero when a lowered limit is below what direct
    // leases hold.
    [[nodiscard]] constexpr std::uint64_t managed_memory() const {
        return limits.memory > direct_reserved ? limits.memory - direct_reserved : 0;
    }
};

// "8 MiB of memory, the limit is 4 MiB; 2 leases, the limit is 1": what an account holds above its limits, which were
// lowered since; nothing when it holds nothing above them.
[[nodiscard]] std::optional<std::string> above_limits(const AccountFigures& account);

struct HostFigures {
    std::uint64_t memory = 0;    // limit, bytes
    std::uint64_t reserved = 0;  // bytes
    std::uint64_t mapped = 0;    // bytes
    std::uint64_t leases = 0;
    std::uint64_t devices = 0;
    bool operator==(const HostFigures&) const = default;
};

// Outlives its charges, which point at it: it can be neither copied nor moved.
class Ledger {
  public:
    explicit Ledger(std::uint64_t host_memory) { host_.memory = host_memory; }
    ~Ledger();  // asserts balanced()
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;

    // Charges one lease, all of it or nothing; `limits` are the account's from now on. Errors: memory_limit (of the
    // account, or of the host), lease_limit, device_limit. A message names the figures of this account only.
    [[nodiscard]] Result<Charge> charge(std::uint32_t uid, const Limits& limits, const Claim& claim);

    // Charges a lease that exists already, whatever the limits say: what is held stays. Fails (internal) only when the
    // sum cannot be counted in 64 bits, which no true record brings about.
    [[nodiscard]] Result<Charge> charge_existing(std::uint32_t uid, const Limits& limits, const Claim& claim);

    // Policy has changed. What is held stays; nothing more is given above the new limits. An account that holds
    // nothing has no entry, so there is nothing to set: the next charge() brings its limits along.
    void set_limits(std::uint32_t uid, const Limits& limits);
    void set_host_memory(std::uint64_t bytes) { host_.memory = bytes; }

    // Accounts that hold a lease, by uid. Asking for one that holds none gives zeros, limits included.
    [[nodiscard]] std::vector<AccountFigures> figures() const;
    [[nodiscard]] AccountFigures figures(std::uint32_t uid) const;
    [[nodiscard]] const HostFigures& host() const { return host_; }

    // Nothing is held and every counter is zero.
    [[nodiscard]] bool balanced() const;

  private:
    friend class Charge;
    [[nodiscard]] Charge enter(AccountFigures& account, std::uint64_t memory, const Claim& claim);
    [[nodiscard]] Result<void> extend(std::uint32_t uid, std::uint32_t devices);
    void withdraw(std::uint32_t uid, std::uint32_t devices);
    void remap(std::uint32_t uid, std::uint64_t before, std::uint64_t now);
    void discharge(const Charge& charge);

    std::map<std::uint32_t, AccountFigures> accounts_;
    HostFigures host_;
};

}  // namespace iommud
