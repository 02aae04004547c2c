#include "daemon/monitor/admission.hpp"

namespace iommud::monitor {

const char* Admission::enter(const Party& party) {
    const std::uint32_t most = connections_in_all - (party.uid == 0 ? 0 : kept_for_root);
    if (total_ >= most) {
        return "too many connections in all";
    }
    const auto found = parties_.find(party);
    if (found != parties_.end() && found->second.connections >= connections_each && party.uid != 0) {
        return "too many connections of this user";
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
    // The entry stays while its second lasts, or a connection a worker would never meet the rate; the number of
    // entries is bounded below.
    if (--found->second.connections == 0 && parties_.size() > connections_in_all) {
        parties_.erase(found);
    }
}

bool Admission::start_worker(const Party& party, Clock::time_point now) {
    if (party.uid == 0) {
        return true;
    }
    Counts& counts = parties_[party];
    if (now - counts.second >= std::chrono::seconds(1)) {
        counts.second = now;
        counts.workers = 0;
    }
    return counts.workers < workers_per_second_each && ++counts.workers > 0;
}

}  // namespace iommud::monitor
