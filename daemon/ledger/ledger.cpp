#include "daemon/ledger/ledger.hpp"

#include <fmt/format.h>

#include <array>
#include <cassert>
#include <string>

#include "daemon/base/bytes.hpp"

namespace iommud {
namespace {

// The largest unit that gives a whole number: one page above a limit must not read like the limit.
std::string exactly(std::uint64_t bytes) {
    constexpr std::array<std::uint64_t, 4> units{1024 * GiB, GiB, MiB, KiB};
    constexpr std::array<const char*, 4> names{"TiB", "GiB", "MiB", "KiB"};
    for (std::size_t i = 0; i < units.size(); ++i) {
        if (bytes >= units[i] && bytes % units[i] == 0) {
            return fmt::format("{} {}", bytes / units[i], names[i]);
        }
    }
    return fmt::format("{} B", bytes);
}

// Nothing when the bytes cannot be rounded up to whole pages in 64 bits.
std::optional<std::uint64_t> whole_pages(std::uint64_t bytes) {
    const std::uint64_t pages = page_align_up(bytes);
    return pages < bytes ? std::nullopt : std::optional(pages);
}

// held + more <= limit, without overflow. What is held may be above a lowered limit.
template <class T>
bool fits(T held, T more, T limit) {
    return held <= limit && more <= limit - held;
}

tl::unexpected<Error> account_memory_error(const AccountFigures& account, const Limits& limits, std::uint64_t asked) {
    return fail(ErrorCode::memory_limit,
                fmt::format("{} of memory asked for: account {} has a limit of {}, of which {} are reserved",
                            exactly(asked), account.uid, exactly(limits.memory), exactly(account.reserved)));
}

// Says nothing of what remains: that would tell this account what all the others hold.
tl::unexpected<Error> host_memory_error(const AccountFigures& account, const HostFigures& host, std::uint64_t asked) {
    return fail(ErrorCode::memory_limit,
                fmt::format("{} of memory asked for: the host's limit of {} for all accounts together has no room for "
                            "it (account {} has {} reserved)",
                            exactly(asked), exactly(host.memory), account.uid, exactly(account.reserved)));
}

tl::unexpected<Error> device_error(const AccountFigures& account, const Limits& limits, std::uint32_t asked) {
    return fail(ErrorCode::device_limit,
                fmt::format("{} device{} asked for: account {} has a limit of {}, and holds {}", asked,
                            asked == 1 ? "" : "s", account.uid, limits.devices, account.devices));
}

}  // namespace

std::optional<std::string> above_limits(const AccountFigures& account) {
    std::string text;
    const auto add = [&text](const std::string& held, const std::string& limit) {
        text += fmt::format("{}{}, the limit is {}", text.empty() ? "" : "; ", held, limit);
    };
    if (account.reserved > account.limits.memory) {
        add(exactly(account.reserved) + " of memory", exactly(account.limits.memory));
    }
    if (account.leases > account.limits.leases) {
        add(fmt::format("{} lease{}", account.leases, account.leases == 1 ? "" : "s"),
            std::to_string(account.limits.leases));
    }
    if (account.devices > account.limits.devices) {
        add(fmt::format("{} device{}", account.devices, account.devices == 1 ? "" : "s"),
            std::to_string(account.limits.devices));
    }
    return text.empty() ? std::nullopt : std::optional(text);
}

Ledger::~Ledger() {
    assert(balanced());
}

Result<Charge> Ledger::charge(std::uint32_t uid, const Limits& limits, const Claim& claim) {
    const auto known = accounts_.find(uid);
    AccountFigures account = known == accounts_.end() ? AccountFigures{.uid = uid} : known->second;
    account.limits = limits;
    if (known != accounts_.end()) {
        known->second.limits = limits;
    }

    const auto memory = whole_pages(claim.memory);
    if (!memory || !fits(account.reserved, *memory, limits.memory)) {
        return account_memory_error(account, limits, claim.memory);
    }
    if (!fits(account.leases, 1U, limits.leases)) {
        return fail(ErrorCode::lease_limit,
                    fmt::format("one more lease asked for: account {} has a limit of {}, and holds {}", uid,
                                limits.leases, account.leases));
    }
    if (!fits(account.devices, claim.devices, limits.devices)) {
        return device_error(account, limits, claim.devices);
    }
    if (!fits(host_.reserved, *memory, host_.memory)) {
        return host_memory_error(account, host_, claim.memory);
    }
    return enter(accounts_.insert_or_assign(uid, account).first->second, *memory, claim);
}

Result<Charge> Ledger::charge_existing(std::uint32_t uid, const Limits& limits, const Claim& claim) {
    const auto memory = whole_pages(claim.memory);
    const AccountFigures held = figures(uid);
    std::uint64_t sum = 0;
    std::uint32_t count = 0;
    // The host's sum is the greater one of memory; leases and devices of the host have 64 bits for sums of 32.
    if (!memory || __builtin_add_overflow(host_.reserved, *memory, &sum) ||
        __builtin_add_overflow(held.devices, claim.devices, &count) ||
        __builtin_add_overflow(held.leases, 1U, &count)) {
        return fail(ErrorCode::internal, fmt::format("an existing lease of account {} with {} bytes and {} devices "
                                                     "cannot be counted",
                                                     uid, claim.memory, claim.devices));
    }
    AccountFigures& account = accounts_[uid];
    account.uid = uid;
    account.limits = limits;
    return enter(account, *memory, claim);
}

Charge Ledger::enter(AccountFigures& account, std::uint64_t memory, const Claim& claim) {
    account.reserved += memory;
    account.direct_reserved += claim.direct ? memory : 0;
    account.leases += 1;
    account.devices += claim.devices;
    host_.reserved += memory;
    host_.leases += 1;
    host_.devices += claim.devices;

    Charge charge;
    charge.ledger_ = this;
    charge.uid_ = account.uid;
    charge.memory_ = memory;
    charge.devices_ = claim.devices;
    charge.direct_ = claim.direct;
    return charge;
}

void Ledger::discharge(const Charge& charge) {
    const auto known = accounts_.find(charge.uid_);
    assert(known != accounts_.end());
    AccountFigures& account = known->second;
    account.reserved -= charge.memory_;
    account.direct_reserved -= charge.direct_ ? charge.memory_ : 0;
    account.mapped -= charge.mapped_;
    account.leases -= 1;
    account.devices -= charge.devices_;
    host_.reserved -= charge.memory_;
    host_.mapped -= charge.mapped_;
    host_.leases -= 1;
    host_.devices -= charge.devices_;
    // An entry per account that holds something, no more: uids that come and go leave nothing behind.
    if (account.leases == 0) {
        assert((account == AccountFigures{.uid = account.uid, .limits = account.limits}));
        accounts_.erase(known);
    }
}

Result<void> Ledger::extend(std::uint32_t uid, std::uint32_t devices) {
    AccountFigures& account = accounts_.at(uid);
    if (!fits(account.devices, devices, account.limits.devices)) {
        return device_error(account, account.limits, devices);
    }
    account.devices += devices;
    host_.devices += devices;
    return {};
}

void Ledger::withdraw(std::uint32_t uid, std::uint32_t devices) {
    accounts_.at(uid).devices -= devices;
    host_.devices -= devices;
}

void Ledger::remap(std::uint32_t uid, std::uint64_t before, std::uint64_t now) {
    AccountFigures& account = accounts_.at(uid);
    account.mapped = account.mapped - before + now;
    host_.mapped = host_.mapped - before + now;
}

void Ledger::set_limits(std::uint32_t uid, const Limits& limits) {
    if (const auto known = accounts_.find(uid); known != accounts_.end()) {
        known->second.limits = limits;
    }
}

std::vector<AccountFigures> Ledger::figures() const {
    std::vector<AccountFigures> all;
    all.reserve(accounts_.size());
    for (const auto& [uid, account] : accounts_) {
        all.push_back(account);
    }
    return all;
}

AccountFigures Ledger::figures(std::uint32_t uid) const {
    const auto known = accounts_.find(uid);
    return known == accounts_.end() ? AccountFigures{.uid = uid} : known->second;
}

bool Ledger::balanced() const {
    return accounts_.empty() && host_ == HostFigures{.memory = host_.memory};
}

}  // namespace iommud
