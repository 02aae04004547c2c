#include "daemon/monitor/lease_book.hpp"

#include <set>

namespace iommud::monitor {

Lease& LeaseBook::open(LeaseRecord record) {
    const LeaseId id = record.id;
    count_on_from(id);
    for (const PciAddress& device : record.devices) {
        by_device_[device] = id;
    }
    auto lease = std::make_unique<Lease>();
    lease->record = std::move(record);
    return *(leases_[id] = std::move(lease));
}

void LeaseBook::close(LeaseId id) {
    std::erase_if(by_device_, [id](const auto& entry) { return entry.second == id; });
    leases_.erase(id);
}

Lease* LeaseBook::find(LeaseId id) {
    const auto found = leases_.find(id);
    return found == leases_.end() ? nullptr : found->second.get();
}

const Lease* LeaseBook::holder_of(const PciAddress& device) const {
    const auto found = by_device_.find(device);
    return found == by_device_.end() ? nullptr : leases_.at(found->second).get();
}

std::vector<std::uint32_t> LeaseBook::groups_of_account(std::uint32_t uid) const {
    std::set<std::uint32_t> groups;
    for (const auto& [id, lease] : leases_) {
        if (lease->record.account_uid == uid) {
            groups.insert(lease->record.account_groups.begin(), lease->record.account_groups.end());
        }
    }
    return {groups.begin(), groups.end()};
}

}  // namespace iommud::monitor
