// The policy in force, and what is wrong with the one that is not.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/monitor/identity.hpp"
#include "daemon/monitor/options.hpp"
#include "policy/policy.hpp"

namespace iommud::monitor {

class PolicyStore {
  public:
    explicit PolicyStore(const Options& options) : options_(options) {}

    // Reads every file anew. All or nothing: one bad file keeps the policy in force (none at start: everything is
    // denied). Returns what was wrong, a line each; empty: loaded, and the generation has gone up. Blocks on local
    // files only.
    std::vector<std::string> load();

    [[nodiscard]] const policy::Policy& current() const { return *policy_; }
    [[nodiscard]] const policy::Names& names() const { return names_; }
    [[nodiscard]] std::uint64_t generation() const { return generation_; }
    [[nodiscard]] const std::vector<std::string>& faults() const { return faults_; }

  private:
    const Options& options_;
    std::shared_ptr<const policy::Policy> policy_ = std::make_shared<policy::Policy>();  // empty: denies all (I7)
    policy::Names names_;
    std::uint64_t generation_ = 0;
    std::vector<std::string> faults_;
};

// What policy looks at, of who is connected.
[[nodiscard]] policy::Subject subject_of(const Identity& who);

}  // namespace iommud::monitor
