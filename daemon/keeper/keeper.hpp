// One lease: from its grant until the kernel has let go of everything. A plain poll loop; nothing in it waits for a
// client or for the monitor.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/keeper/clock.hpp"
#include "daemon/keeper/control.hpp"
#include "daemon/keeper/grant.hpp"
#include "daemon/keeper/holders.hpp"
#include "daemon/keeper/lease_memory.hpp"
#include "daemon/keeper/reporter.hpp"
#include "daemon/keeper/start.hpp"
#include "daemon/keeper/take_back.hpp"

namespace iommud::keeper {

enum class ExitCode : int {
    released = 0,   // the kernel has let go of everything
    failed = 1,     // never began, or an error that nobody can handle
    abandoned = 2,  // the vault died: DMA has ended, and nobody asks for the rest
    left = 3,       // it said why by a KeeperWord, and a successor does the rest
};

class Keeper {
  public:
    // `table` was made before memory was locked. `lifeline` hangs up when the vault dies; `word` is where the vault
    // reads KeeperWords; `signals` is readable when the process is asked to end.
    Keeper(Start start, std::unique_ptr<kernel::DmaContext> context, MapTable table, Control control, UniqueFd lifeline,
           UniqueFd word, UniqueFd signals);

    // Does not return where this process leaves to a successor what it might wait for for ever.
    [[nodiscard]] ExitCode run();

  private:
    enum class Stage { serving, ending_dma, destroying, draining, done };
    struct Waiting;

    // The stages.
    void grant();
    void handed_out();
    void begin_release();
    void end_dma();
    void destroy();
    void drain();
    void say(ipc::KeeperWord word) const;
    [[noreturn]] void leave(ipc::KeeperWord word) const;
    void report_if_due();

    // One turn of the loop.
    void wait_and_dispatch();
    [[nodiscard]] int timeout_ms() const;
    void pass_time();
    void handle_control();
    void handle_take_back(const ipc::TakeBack& message);
    void handle_add(AddDevices add);
    void abandon();
    [[nodiscard]] bool direct() const { return start_.message.mode == Mode::direct; }

    // Of the lease channels.
    void handle_channel(std::size_t index);
    void answer(std::size_t index, LeaseRequest& request);
    void answer_map(const LeaseChannel& channel, LeaseRequest& request);
    void answer_dup(std::size_t index, const iommud_request& request);
    void lost_channel(std::size_t index);
    void sent(LeaseSend outcome);
    void let_go(UniqueFd descriptor);

    [[nodiscard]] Result<void> refresh_geometry();

    Start start_;
    std::unique_ptr<kernel::DmaContext> context_;
    LeaseMemory memory_;
    TakeBack take_back_;
    Holders holders_;
    Control control_;
    Reporter reporter_;
    UniqueFd lifeline_;
    UniqueFd word_;  // for the vault; invalid with a vault that reads none
    UniqueFd signals_;
    Parked parked_;
    std::size_t device_count_ = 0;
    Stage stage_ = Stage::serving;
    bool abandoned_ = false;
    bool revoked_ = false;  // a direct lease, and its time is up: whoever holds the context still is to be killed
    std::optional<Clock::time_point> grace_ends_;
    std::optional<Clock::time_point> holder_dies_;  // unless the lease has ended by then
    std::optional<std::size_t> released_by_;        // the channel that asked for it, and its answer:
    iommud_reply released_reply_{};
};

}  // namespace iommud::keeper
