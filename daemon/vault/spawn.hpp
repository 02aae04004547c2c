// Starts the vault's children. A child opens what it needs, gives up root and becomes iommud-keeper or iommud-worker;
// the vault itself waits for nothing and never holds a device.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/vault/holdings.hpp"
#include "daemon/vault/options.hpp"
#include "daemon/vault/sweep.hpp"

namespace iommud::vault {

// What a child becomes; on the simulated kernel it stays what it is.
struct Place {
    User user;
    std::string cgroup;  // the folder it enters; empty: stays in the vault's
};

struct NewUndertaker {
    Child child;
    ipc::Channel channel;  // of the process that it closes for
};

struct NewKeeper {
    Child child;
    ipc::Channel control;  // the monitor's end
    ipc::Channel report;   // a ChildReport will come here, or a hang-up
    UniqueFd word;         // KeeperWords will; reading it does not block
};

class Spawner {
  public:
    // Throws Fatal when a program of theirs is not there to be started.
    explicit Spawner(const Options& options);

    // `connection` is invalid for the system bus. No place: stays where the vault is.
    [[nodiscard]] Result<Child> worker(const std::optional<Place>& place, BorrowedFd monitor_end,
                                       BorrowedFd connection) const;

    // A child that opens the nodes that `lease.start` needs (a successor: gets a copy of the lease's context), reports
    // and becomes the keeper. `delivery` goes to the keeper; a successor has none, and finds its KeeperStart in its
    // channel before anybody else could write there (hazard C25).
    [[nodiscard]] Result<NewKeeper> keeper(const std::optional<Place>& place, const Lease& lease,
                                           BorrowedFd delivery) const;

    // A child that opens the nodes of `add.devices`, sends KeeperAdd on the lease's channel, reports and is gone.
    [[nodiscard]] Result<Extension> extension(const Lease& lease, const ipc::KeeperAdd& add, BorrowedFd delivery) const;

    // A child that becomes iommud-undertaker.
    [[nodiscard]] Result<NewUndertaker> undertaker(const std::optional<Place>& place) const;

    // A child that sets the memory.max of a cgroup, which may take a while, and is gone.
    [[nodiscard]] Result<Child> limiter(const std::string& cgroup, std::uint64_t memory_max) const;

    // A child that takes back what a user's processes inherited of a limit. It exits with 0 when none has it any more.
    [[nodiscard]] Result<Child> sweeper(const Sweep& sweep) const;

  private:
    struct Ends;
    [[noreturn]] void become_keeper(const std::optional<Place>& place, const Lease& lease, const Ends& ends) const;
    static constexpr std::size_t most_inherited = 4;
    // The descriptors become 3, 4 and so on; those after the first may be invalid, and then no later one is valid.
    [[noreturn]] void execute(const char* name, std::array<BorrowedFd, most_inherited> fds) const;

    std::string libexec_;
    bool verbose_;
    std::vector<std::string> environment_;
    UniqueFd lifeline_read_;
    UniqueFd lifeline_write_;  // nobody else has it: it hangs up when the vault is gone
};

}  // namespace iommud::vault
