#include "daemon/monitor/policy_store.hpp"

#include <unistd.h>

#include <charconv>

#include "daemon/base/log.hpp"
#include "daemon/monitor/connection.hpp"
#include "policy/machine.hpp"

namespace iommud::monitor {
namespace {

std::vector<std::string> lines_of(const policy::Diagnostics& diagnostics) {
    std::vector<std::string> lines;
    for (const policy::Diagnostic& diagnostic : diagnostics) {
        lines.push_back(diagnostic.text());
    }
    return lines;
}

}  // namespace

const std::vector<std::string>& PolicyStore::load() {
    const std::vector<std::string> folders = options_.policy_folders();
    policy::Loaded loaded = policy::load_folders(folders, options_.simulated ? ::getuid() : 0);
    faults_ = lines_of(loaded.errors);
    if (!loaded.policy) {
        return faults_;
    }
    for (const std::string& warning : lines_of(loaded.warnings)) {
        log::warning(warning);
    }
    policy_ = std::make_shared<policy::Policy>(std::move(*loaded.policy));
    ++generation_;
    return faults_;
}

policy::Subject subject_of(const Connection& connection) {
    const Identity& who = connection.who();
    policy::Subject subject;
    subject.uid = who.uid;
    subject.groups = who.groups;
    subject.unit = who.unit;
    subject.has_pidfd = who.pidfd.valid();
    subject.container_known = !connection.vouched();
    if (const EndpointRecord* via = connection.via().get()) {
        subject.container = policy::Container{via->id, via->owner, via->annotations};
    }
    return subject;
}

std::optional<policy::Subject> subject_named(const policy::Policy& policy, std::string_view user) {
    std::optional<std::uint32_t> uid = policy.names.uid_of(user);
    if (!uid) {
        std::uint32_t number = 0;
        const auto [end, error] = std::from_chars(user.data(), user.data() + user.size(), number);
        if (user.empty() || error != std::errc{} || end != user.data() + user.size() ||
            number > policy::highest_policy_uid) {
            return std::nullopt;
        }
        uid = number;
    }
    policy::Subject subject;
    subject.uid = *uid;
    subject.groups = policy.names.groups_of(*uid);
    subject.unit = "";
    subject.has_pidfd = true;
    return subject;
}

Limits limits_of(const policy::Policy& policy, std::uint32_t uid, std::span<const std::uint32_t> groups) {
    policy::Subject subject;
    subject.uid = uid;
    subject.groups = policy.names.groups_of(uid);
    subject.groups.insert(subject.groups.end(), groups.begin(), groups.end());
    const std::optional<policy::Account> account = policy::account_of(policy, subject);
    // An account that policy knows no more may have nothing new; what is held stays.
    return account && account->uid == uid ? Limits{account->memory, account->leases, account->devices} : Limits{};
}

}  // namespace iommud::monitor
