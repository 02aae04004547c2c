// The policy in force, and what is wrong with the one that is not.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/ledger/ledger.hpp"
#include "daemon/monitor/identity.hpp"
#include "daemon/monitor/options.hpp"
#include "policy/account.hpp"

namespace iommud::monitor {

class Connection;

class PolicyStore {
  public:
    explicit PolicyStore(const Options& options) : options_(options) {}

    // Reads every file anew. All or nothing: one bad file keeps the policy in force (none at start: everything is
    // denied). Returns what was wrong, a line each; empty: loaded, and the generation has gone up. Blocks on local
    // files only.
    const std::vector<std::string>& load();

    [[nodiscard]] const policy::Policy& current() const { return *policy_; }
    [[nodiscard]] std::uint64_t generation() const { return generation_; }
    [[nodiscard]] const std::vector<std::string>& faults() const { return faults_; }

  private:
    const Options& options_;
    std::shared_ptr<const policy::Policy> policy_ = std::make_shared<policy::Policy>();  // empty: denies all (I7)
    std::uint64_t generation_ = 0;
    std::vector<std::string> faults_;
};

// What policy looks at, of who is connected: what the kernel says, and of a container what it was registered with.
[[nodiscard]] policy::Subject subject_of(const Connection& connection);

// Somebody who is not connected: a name in /etc/passwd, or a uid; with the groups that the files say. Nothing for
// neither.
[[nodiscard]] std::optional<policy::Subject> subject_named(const policy::Policy& policy, std::string_view user);

// What policy allows the account that `uid` pays for itself; nothing at all when it has none. `groups`: which it is
// known to be in, whatever the files say.
[[nodiscard]] Limits limits_of(const policy::Policy& policy, std::uint32_t uid, std::span<const std::uint32_t> groups);

}  // namespace iommud::monitor
