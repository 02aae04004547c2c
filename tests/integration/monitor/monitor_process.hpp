// A monitor on the simulated kernel whose vault is the test: it sees every verb, and holds the worker's end of each
// connection's channel.
#pragma once

#include <sys/types.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::test {

// The next packet, or an empty one after five seconds or at a hang-up.
ipc::Packet next_packet(const ipc::Channel& channel);

// The next frame that is a `Message`. What a connection may see is told in between, whenever it has changed.
template <class Message>
std::optional<Message> next_answer(const ipc::Channel& channel) {
    for (;;) {
        const ipc::Packet packet = next_packet(channel);
        auto message = ipc::decode<Message>(packet.bytes);
        if (message || packet.bytes.empty()) {
            return message;
        }
    }
}

// A client's connection and the channel that its worker would have.
struct Served {
    UniqueFd client;
    std::uint32_t slot = 0;
    ipc::Channel worker;
};

// The answer to a request: whatever comes first that is no view.
ipc::Packet next_reply(const Served& served);

// A held lease with this label has no keeper yet.
inline constexpr const char* being_opened = "being opened";
// One with this label has none any more: the limit that its holder got is being taken back.
inline constexpr const char* settling = "settling";

// Lease 5, of this user and of 0000:00:04.0, with 4 KiB: for a vault to hold.
LeaseRecord held_lease(Mode mode);

class MonitorProcess {
  public:
    // The vault holds leases with these records, and these things, if any.
    // `socket`: goes with each thing, if valid.
    explicit MonitorProcess(const std::vector<LeaseRecord>& held = {}, const std::vector<ipc::HeldThing>& things = {},
                            const char* option = "--verbose", FreedMemory freed_memory = FreedMemory::unreachable,
                            UniqueFd socket = {});
    ~MonitorProcess();
    MonitorProcess(const MonitorProcess&) = delete;
    MonitorProcess& operator=(const MonitorProcess&) = delete;

    // Connects to the clients' (or the administrator's) socket, says a byte, and takes the worker's place. The view
    // that the monitor sends first has been read.
    [[nodiscard]] Served connect(bool admin = false) const;
    // The place of the worker that the monitor has started for the system bus: with the option --system-bus.
    [[nodiscard]] Served system_bus_worker() const;
    [[nodiscard]] const ipc::Channel& vault() const { return vault_; }
    [[nodiscard]] bool alive() const;
    // Stops it, or lets it go on: what it is sent meanwhile is all there when it looks.
    void stop(bool stopped) const;
    // Into policy.d, beside 10.json, which gives this user 0000:00:04.0.
    void write_policy(const std::string& name, const std::string& text) const;
    [[nodiscard]] std::filesystem::path run_folder() const { return work_ / "run"; }
    [[nodiscard]] std::filesystem::path policy_folder() const { return work_ / "etc" / "policy.d"; }
    // What an administrator's Reload is answered: empty when it was done. `view`, when given, is what it changed.
    std::string reload(const Served& admin, ipc::ManagerView* view = nullptr) const;
    // The verb that comes next to the vault, decoded; nothing when another one comes, or none. What the vault is to
    // hold is passed over, unless it is asked for.
    template <class Verb>
    [[nodiscard]] std::optional<Verb> verb() const {
        ipc::Packet packet = next_packet(vault_);
        while (!std::is_same_v<Verb, ipc::Hold> && ipc::decode<ipc::Hold>(packet.bytes)) {
            packet = next_packet(vault_);
        }
        return ipc::decode<Verb>(packet.bytes);
    }

    // Speaks to the monitor as the keeper of the n-th held lease.
    template <class Message>
    [[nodiscard]] ipc::SendResult keeper_says(std::size_t n, const Message& message, BorrowedFd fd = {}) const {
        const std::array<BorrowedFd, 1> fds{fd};
        return keepers_.at(n).send(message, std::span(fds.data(), fd.valid() ? 1 : 0));
    }
    // The frame of that type that comes next to the keeper of the n-th held lease.
    template <class Message>
    [[nodiscard]] std::optional<Message> keeper_hears(std::size_t n) const {
        return next_answer<Message>(keepers_.at(n));
    }

  private:
    // The worker's end of what the vault was told to start a worker with, once the view has been read from it.
    [[nodiscard]] Served take_place(std::size_t fds) const;

    std::filesystem::path work_;
    pid_t pid_ = -1;
    // Real undertakers, as the vault would start them.
    void start_undertaker() const;

    ipc::Channel vault_;
    std::vector<ipc::Channel> keepers_;  // the other ends of what the monitor has for them
};

// Asks with 4 KiB for 0000:00:04.0, which this user may have. What the vault is asked then.
[[nodiscard]] std::optional<ipc::GrantLease> ask_for_a_lease(const MonitorProcess& monitor, const Served& client);
// The vault has started a keeper for that lease. The keeper's end of what the monitor got; the process is this one.
[[nodiscard]] ipc::Channel give_a_keeper(const MonitorProcess& monitor, LeaseId lease);

}  // namespace iommud::test
