// The vault's own part of the cgroup tree: itself in a leaf (hazard C15: a cgroup with controllers has no processes of
// its own), one leaf for all workers, one for each account's keepers, whose page tables and stray pages are charged
// there and stay charged until the cgroup goes: with the vault, or when many other accounts have been used since (the
// host has 65,535 of them in all: C24).
#pragma once

#include <cstdint>
#include <string>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::vault {

class Cgroups {
  public:
    // Needs a delegated cgroup v2 with the memory and pids controllers. Throws Fatal.
    Cgroups();

    // For ExecStopPost=, in the cgroup ".control" of the unit: takes the controllers from the account's cgroups, so
    // that systemd may start a vault beside a process that is left in one of them (hazard C15).
    [[nodiscard]] static Result<void> give_back();

    // Folders; the child that belongs there enters by itself, because that can take 30 ms.
    [[nodiscard]] std::string workers() const { return base_ + "/workers"; }
    [[nodiscard]] Result<std::string> account(std::uint32_t keepers_uid) const;
    // Of an account that has no keeper. Fails while there is one.
    [[nodiscard]] Result<void> remove_account(std::uint32_t keepers_uid) const;

  private:
    [[nodiscard]] std::string account_folder(std::uint32_t keepers_uid) const;
    std::string base_;
};

// For a child about itself or its account. Lowering memory.max makes the kernel reclaim before it returns: never in the
// vault itself.
[[nodiscard]] Result<void> enter_cgroup(const std::string& folder);
// Whether there is room for what the kernel takes for one more lease. Error: memory_limit.
[[nodiscard]] Result<void> room_in_cgroup(const std::string& folder);
// For somebody else to enter, who needs no right of his own: the kernel asks who opened it (cgroup_procs_write).
[[nodiscard]] Result<UniqueFd> open_cgroup(const std::string& folder);
[[nodiscard]] Result<void> limit_cgroup(const std::string& folder, std::uint64_t memory_max);

}  // namespace iommud::vault
