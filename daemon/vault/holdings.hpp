// What the vault holds: the truth about which leases and workers there are. A monitor that comes back is told all of
// it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/ipc/vault_messages.hpp"
#include "daemon/vault/holder.hpp"

namespace iommud::vault {

// Processes of one account that were given up and are not gone. With so many it gets no further lease.
inline constexpr std::size_t most_given_up = 8;

struct Child {
    pid_t pid = -1;
    UniqueFd pidfd;
    // A worker's: the process that made the connection, by the kernel's word; invalid when not known.
    UniqueFd client{};
    uid_t client_uid = static_cast<uid_t>(-1);  // its effective uid then
};

enum class Phase {
    opening,   // a child of ours, still root, opens the nodes; it has not reported
    running,   // the keeper
    cleaning,  // a successor
    between,   // the keeper died and its successor has not started yet
    settling,  // all has ended but for the limit that its holder's user got: a child of ours takes that back
};

// A child that opens more nodes for a lease that is there.
struct Extension {
    Child child;
    ipc::Channel report;
    ipc::Bytes old_record;                            // of the lease, should the child say that it failed
    std::chrono::steady_clock::time_point opened_by;  // or the child is killed
};

struct Lease {
    ipc::KeeperStart start;  // what the keeper was told; its successor is told the same with another role
    std::uint32_t account_uid = 0;
    std::uint64_t memory_max = 0;
    // What the keeper that runs now was started with; the two above are what holds since.
    std::uint64_t first_memlock = 0;
    std::uint64_t first_memory_max = 0;
    bool limited = false;    // it has lowered its own limit, so that it may be given another
    bool limit_due = false;  // it gets another when it has
    ipc::Bytes record;
    std::uint64_t asked_by = 0;  // the monitor connection that waits for the GrantResult
    Phase phase = Phase::opening;
    ipc::Channel control;    // the monitor's end of the keeper's channel
    ipc::Channel report;     // while opening
    UniqueFd word;           // where the keeper says KeeperWords; invalid once it has closed its end
    bool dma_ended = false;  // by the word of the keeper that runs now
    Child child;
    pid_t doomed = -1;                                 // the child that was sent SIGKILL
    std::chrono::steady_clock::time_point started_by;  // a successor, or it is killed
    UniqueFd context;                                  // the inert copy; invalid on the simulated kernel
    Error failure;                                     // while opening: what the child reported
    unsigned deaths = 0;
    std::optional<Extension> extension;
    std::optional<Holder> holder;  // of a direct lease, until it settles
    std::optional<std::chrono::steady_clock::time_point> holder_dies;
    std::optional<uid_t> settles;  // then: whose processes' limits
    std::optional<Error> refused;  // and what the monitor is told at the end, when the lease was never granted
    unsigned sweeps = 0;
};

// What a user's processes have had for RLIMIT_MEMLOCK while it has direct leases (hazard C30).
struct Raised {
    rlim_t own = 0;      // the most that a holder had by itself
    rlim_t highest = 0;  // the most that we gave one
};

// A child that nobody waits for: it is reaped when it ends, if it ever does.
struct Abandoned {
    Child child;
    std::uint32_t account_uid = ~0U;  // of a keeper that was given up
    LeaseId lease = 0;                // likewise; 0: of none
};

struct Thing {
    ipc::Bytes value;
    UniqueFd fd;  // may be invalid
};

struct Holdings {
    std::map<LeaseId, Lease> leases;
    std::map<std::uint32_t, Child> workers;  // by slot
    std::map<std::string, Thing> things;
    std::map<uid_t, Raised> raised;  // of users with direct leases, until the last has settled
    std::map<std::uint64_t, Abandoned> abandoned;
    LeaseId last_lease = 0;

    // Whether a request fits what is there. An error is a monitor that lies or has lost count: it is dropped.
    [[nodiscard]] Result<void> admit(const ipc::StartWorker& request) const;
    [[nodiscard]] Result<void> admit(const ipc::GrantLease& request) const;
    // Whether there is room for it. An error is an answer: the monitor goes on.
    [[nodiscard]] Result<void> room_for(const ipc::GrantLease& request) const;
    [[nodiscard]] Result<void> room_for(const ipc::Hold& request) const;

    [[nodiscard]] Lease* find(LeaseId id);
    // How many keepers of the account were given up and have not ended.
    [[nodiscard]] std::size_t given_up(std::uint32_t account_uid) const;
    // What the uid's direct leases have reserved: as much as it may have locked.
    [[nodiscard]] std::uint64_t direct_reserve(uid_t holder) const;
    // Whether a lease of the uid is direct, or was and has not settled.
    [[nodiscard]] bool has_direct(uid_t uid) const;
};

// How long to wait before the next successor is started: at once after the first death, then 100 ms, doubled up to 10
// s.
[[nodiscard]] std::chrono::milliseconds back_off(unsigned deaths);

// "exited 0", "killed by SIGSYS", from waitid(2)'s code and status.
[[nodiscard]] std::string describe_exit(int code, int status);

}  // namespace iommud::vault
