// A vault of the test's own, on the simulated kernel, and a monitor for it.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::test {

inline constexpr int patience_ms = 10'000;  // for what happens at once; a loaded machine is slow

// The next packet on `channel`; empty bytes when it hangs up, or nothing comes.
ipc::Packet next_packet(const ipc::Channel& channel);

template <class Message>
std::optional<Message> next(const ipc::Channel& channel, ipc::Packet* with = nullptr) {
    ipc::Packet packet = next_packet(channel);
    auto message = ipc::decode<Message>(packet.bytes);
    if (with != nullptr) {
        *with = std::move(packet);
    }
    return message;
}

// True when the other side closes `channel` before it sends anything.
bool hangs_up(const ipc::Channel& channel);
// Reads until the vault hangs up; false when it does not.
bool is_dropped(const ipc::Channel& vault);
// True when the process behind `pidfd` is gone in time.
bool exits(BorrowedFd pidfd);
// Of a process that has no stat file to trust: the first process whose parent is `parent` and name is `name`.
std::optional<pid_t> child_of(pid_t parent, const std::string& name);

class VaultProcess {
  public:
    explicit VaultProcess(const std::string& libexec);
    ~VaultProcess();
    VaultProcess(const VaultProcess&) = delete;
    VaultProcess& operator=(const VaultProcess&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    // A connection to its socket, about which the vault may think as it likes.
    [[nodiscard]] ipc::Channel connect() const;
    // One whose hello and holdings have been read; HeldLease frames are left in `held` with their packets.
    struct Greeting {
        ipc::Channel channel;
        ipc::VaultHello hello;
        std::vector<std::pair<ipc::HeldLease, ipc::Packet>> leases;
        std::vector<std::pair<ipc::HeldThing, ipc::Packet>> things;
        std::vector<std::pair<ipc::UndertakerComing, ipc::Packet>> undertakers;
    };
    [[nodiscard]] Greeting greeted() const;
    // What /proc/PID/fd points to, as texts; sockets and pipes by kind and not by inode.
    [[nodiscard]] std::multiset<std::string> descriptors() const;
    // The same, once it is what it was for a while: what is closed goes by an undertaker, a little later.
    [[nodiscard]] std::multiset<std::string> descriptors_at_rest() const;
    // Asks it to stop; its exit status, as waitpid(2) gives it.
    int stop();
    void kill_now();

  private:
    std::filesystem::path folder_;
    pid_t pid_ = -1;
};

ipc::GrantLease a_grant(LeaseId lease);
// Asks for `lease` with a delivery end of its own; the other end comes back.
ipc::Channel ask_for(const ipc::Channel& vault, const ipc::GrantLease& grant);

}  // namespace iommud::test
