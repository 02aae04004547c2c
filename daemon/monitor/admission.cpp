#include "daemon/monitor/admission.hpp"

namespace iommud::monitor {

bool Places::fit_one_more(std::uint32_t own) const {
    if (taken_ >= bounds_.in_all || own >= bounds_.each) {
        return false;
    }
    const std::uint32_t shared = bounds_.in_all - bounds_.parties * bounds_.base;
    const std::uint32_t others = extra_ - beyond_base(own);
    return 2 * beyond_base(own + 1) <= shared - others;  // within its base: always
}

void Places::add(std::uint32_t own) {
    ++taken_;
    extra_ += beyond_base(own + 1) - beyond_base(own);
}

void Places::remove(std::uint32_t own) {
    --taken_;
    extra_ -= beyond_base(own) - beyond_base(own - 1);
}

std::uint32_t Admission::connections_of(const Party& party) const {
    const auto found = parties_.find(party);
    return found == parties_.end() ? 0 : found->second.connections;
}

const char* Admission::enter(const Party& party) {
    if (connections() >= connections_in_all) {
        return "too many connections in all";
    }
    if (party.root) {
        ++of_root_;
        return nullptr;
    }
    if (connections_of(party) >= connections_each) {
        return "too many connections of this user";
    }
    const bool host = party.endpoint.empty();
    Places& places = host ? users_ : containers_;
    const Party& sharer = host ? party : all_of(party);
    const std::uint32_t own = connections_of(sharer);
    if (!host && own >= connections_of_endpoint) {
        return "too many connections of this container";
    }
    if (!places.fit_one_more(own)) {
        return host ? "too many connections in all, of which this user has its share"
                    : "too many connections in all, of which this container has its share";
    }
    places.add(own);
    ++parties_[sharer].connections;
    if (!host) {
        ++parties_[party].connections;
    }
    return nullptr;
}

void Admission::leave(const Party& party) {
    if (party.root) {
        of_root_ -= of_root_ > 0 ? 1 : 0;
        return;
    }
    if (connections_of(party) == 0) {
        return;
    }
    const bool host = party.endpoint.empty();
    (host ? users_ : containers_).remove(connections_of(host ? party : all_of(party)));
    if (!host) {
        leave_one(all_of(party));
    }
    leave_one(party);
}

void Admission::leave_one(const Party& party) {
    // The entry stays while its second lasts, or a connection a worker would never meet the rate.
    const auto found = parties_.find(party);
    Counts& counts = found->second;
    if (--counts.connections == 0 && counts.workers == 0 && counts.looks == 0) {
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
        counts.looks = 0;
    }
    return counts;
}

bool Admission::within(const Rate& rate, const Party& party, Clock::time_point now) {
    if (party.root) {
        return true;
    }
    if (parties_.size() > connections_in_all) {
        forget_the_quiet(now);
    }
    // The container first: without that, each of its uids would leave an entry behind.
    if (!party.endpoint.empty()) {
        std::uint32_t& of_all = in_second(all_of(party), now).*rate.count;
        if (of_all >= rate.of_endpoint) {
            return false;
        }
        std::uint32_t& own = in_second(party, now).*rate.count;
        if (own < rate.each) {
            ++own;
            ++of_all;
            return true;
        }
        return false;
    }
    std::uint32_t& own = in_second(party, now).*rate.count;
    return own < rate.each && ++own > 0;
}

bool Admission::look(const Party& party, Clock::time_point now) {
    return within({&Counts::looks, looks_per_second_each, looks_per_second_of_endpoint}, party, now);
}

bool Admission::start_worker(const Party& party, Clock::time_point now) {
    return within({&Counts::workers, workers_per_second_each, workers_per_second_of_endpoint}, party, now);
}

}  // namespace iommud::monitor
