// GetAccounts: an administrator sees every account that holds something, anybody else its own.
#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

constexpr std::size_t entries_per_frame = 256;

ipc::AccountEntry entry_of(const AccountFigures& figures) {
    return {.uid = figures.uid,
            .memory_limit = figures.limits.memory,
            .memory_reserved = figures.reserved,
            .memory_mapped = figures.mapped + figures.direct_reserved,  // what those have mapped is not seen
            .leases = figures.leases,
            .lease_limit = figures.limits.leases,
            .devices = figures.devices,
            .device_limit = figures.limits.devices};
}

std::vector<ipc::AccountEntry> visible_accounts(Monitor& monitor, const Connection& connection) {
    std::vector<ipc::AccountEntry> entries;
    if (connection.admin()) {
        for (const AccountFigures& figures : monitor.ledger().figures()) {
            entries.push_back(entry_of(figures));
        }
        return entries;
    }
    const auto account = policy::account_of(monitor.policy().current(), subject_of(connection));
    if (account) {
        AccountFigures figures = monitor.ledger().figures(account->uid);
        figures.uid = account->uid;
        figures.limits = {account->memory, account->leases, account->devices};
        entries.push_back(entry_of(figures));
    }
    return entries;
}

}  // namespace

void answer_accounts(Monitor& monitor, Connection& connection, const ipc::AccountsRequest& request) {
    const std::vector<ipc::AccountEntry> all = visible_accounts(monitor, connection);
    std::size_t from = 0;
    do {
        ipc::AccountsEntries entries{.cookie = request.cookie, .last = true, .accounts = {}};
        const std::size_t to = std::min(from + entries_per_frame, all.size());
        entries.accounts.assign(all.begin() + static_cast<std::ptrdiff_t>(from),
                                all.begin() + static_cast<std::ptrdiff_t>(to));
        entries.last = to == all.size();
        connection.send(entries);
        from = to;
    } while (from < all.size());
}

}  // namespace iommud::monitor
