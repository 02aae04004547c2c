#include "daemon/monitor/admission.hpp"

namespace iommud::monitor {

const char* Admission::enter(const Party& party) {
    const bool root = hosts_root(party);
    const std::uint32_t most = connections_in_all - (root ? 0 : kept_for_root);
    if (total_ >= most) {
        return "too many connections in all";
    }
    const auto connections = [this](const Party& of) {
        const auto found = parties_.find(of);
        return found == parties_.end() ? 0 : found->second.connections;
    };
    if (connections(party) >= connections_each && !root) {
        return "too many connections of this user";
    }
    if (!party.endpoint.empty()) {
        if (connections(all_of(party)) >= connections_of_endpoint) {
            return "too many connections of this container";
        }
        ++parties_[all_of(party)].connections;
    }
    ++parties_[party].connections;
    ++total_;
    return nullptr;
}

void Admission::leave(const Party& party) {
    const auto found = parties_.find(party);
    if (found == parties_.end() || found->second.connections == 0) {
        return;
    }
    --total_;
    if (!party.endpoint.empty()) {
        leave_one(all_of(party));
    }
    leave_one(party);
}

void Admission::leave_one(const Party& party) {
    // The entry stays while its second lasts, or a connection a worker would never meet the rate.
    if (const auto found = parties_.find(party); --found->second.connections == 0 && found->second.workers == 0) {
        parties_.erase(found);
    }
}

void Admission::forget_the_quiet(Clock::time_point now) {
    std::erase_if(parties_, [now](const auto& entry) {
        return entry.second.connections == 0 && now - entry.second.second >= std::chrono::seconds(1);
    });
}

Admission::Counts& Admission::in_second(const Party& party, Clock::time_point now) {
    Counts& counts = parties_[party];
    if (now - counts.second >= std::chrono::seconds(1)) {
        counts.second = now;
        counts.workers = 0;
    }
    return counts;
}

bool Admission::start_worker(const Party& party, Clock::time_point now) {
    if (hosts_root(party)) {
        return true;
    }
    if (parties_.size() > connections_in_all) {
        forget_the_quiet(now);
    }
    Counts& own = in_second(party, now);
    if (own.workers >= workers_per_second_each) {
        return false;
    }
    if (!party.endpoint.empty()) {
        Counts& all = in_second(all_of(party), now);
        if (all.workers >= workers_per_second_of_endpoint) {
            return false;
        }
        ++all.workers;
    }
    ++own.workers;
    return true;
}

}  // namespace iommud::monitor
