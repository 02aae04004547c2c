#include "daemon/vault/holdings.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

namespace iommud::vault {

Result<void> Holdings::admit(const ipc::StartWorker& request) const {
    if (workers.contains(request.slot)) {
        return fail(ErrorCode::invalid_argument, fmt::format("worker slot {} is taken", request.slot));
    }
    return {};
}

Result<void> Holdings::admit(const ipc::GrantLease& request) const {
    if (request.lease <= last_lease) {
        return fail(ErrorCode::invalid_argument, fmt::format("lease {} after {}", request.lease, last_lease));
    }
    return {};
}

Result<void> Holdings::room_for(const ipc::GrantLease&) const {
    if (leases.size() >= most_leases) {
        return fail(ErrorCode::lease_limit, fmt::format("this host has {} leases, more do not fit", leases.size()));
    }
    return {};
}

Result<void> Holdings::room_for(const ipc::Hold& request) const {
    if (!things.contains(request.name) && things.size() >= most_things) {
        return fail(ErrorCode::invalid_argument, fmt::format("{} things are held, more do not fit", things.size()));
    }
    return {};
}

Lease* Holdings::find(LeaseId id) {
    const auto found = leases.find(id);
    return found == leases.end() ? nullptr : &found->second;
}

std::size_t Holdings::given_up(std::uint32_t account_uid) const {
    return static_cast<std::size_t>(std::count_if(abandoned.begin(), abandoned.end(), [account_uid](const auto& entry) {
        return entry.second.lease != 0 && entry.second.account_uid == account_uid;
    }));
}

std::uint64_t Holdings::direct_reserve(uid_t holder) const {
    std::uint64_t sum = 0;
    for (const auto& [id, lease] : leases) {
        if (lease.holder && lease.holder->uid() == holder) {
            sum += lease.start.reserve;  // of most_leases, each at most most_memory
        }
    }
    return sum;
}

bool Holdings::has_direct(uid_t uid) const {
    return std::any_of(leases.begin(), leases.end(), [uid](const auto& entry) {
        return entry.second.settles == uid || (entry.second.holder && entry.second.holder->uid() == uid);
    });
}

std::chrono::milliseconds back_off(unsigned deaths) {
    using namespace std::chrono_literals;
    if (deaths <= 1) {
        return 0ms;
    }
    return std::min<std::chrono::milliseconds>(100ms * (1 << std::min(deaths - 2, 7U)), 10s);
}

std::string describe_exit(int code, int status) {
    if (code == CLD_EXITED) {
        return fmt::format("exited {}", status);
    }
    const char* name = ::sigabbrev_np(status);
    return name == nullptr ? fmt::format("killed by signal {}", status) : fmt::format("killed by SIG{}", name);
}

}  // namespace iommud::vault
