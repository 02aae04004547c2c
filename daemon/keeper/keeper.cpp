#include "daemon/keeper/keeper.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "daemon/base/bounds.hpp"
#include "daemon/ipc/vault_messages.hpp"

namespace iommud::keeper {

Keeper::Keeper(Start start, std::unique_ptr<kernel::DmaContext> context, MapTable table, Control control,
               UniqueFd lifeline, UniqueFd word, UniqueFd signals)
    : start_(std::move(start)),
      context_(std::move(context)),
      memory_(*context_, start_.message.reserve, std::move(table)),
      take_back_(*context_, memory_),
      control_(std::move(control)),
      reporter_(control_),
      lifeline_(std::move(lifeline)),
      word_(std::move(word)),
      signals_(std::move(signals)) {}

ExitCode Keeper::run() {
    if (start_.message.role == ipc::KeeperRole::keeper) {
        grant();
    } else {
        begin_release();
    }
    while (stage_ != Stage::done) {
        wait_and_dispatch();
    }
    return abandoned_ ? ExitCode::abandoned : ExitCode::released;
}

Result<void> Keeper::refresh_geometry() {
    const auto geometry = context_->geometry();
    if (!geometry) {
        return tl::unexpected(geometry.error());
    }
    memory_.set_geometry(*geometry);
    return {};
}

void Keeper::grant() {
    const ipc::Channel delivery = std::move(start_.delivery);  // closed when this returns, whatever happens
    const ipc::KeeperStart& asked = start_.message;
    auto devices = add_devices(*context_, 0, std::exchange(start_.devices, {}),
                               {asked.devices, asked.no_reset_allowed, parse_uuid(asked.vf_token), asked.vf_token_for});
    start_.message.vf_token.clear();
    const auto geometry = devices ? refresh_geometry() : Result<void>();
    auto lease_end = holders_.add();
    if (!devices || !geometry || !lease_end) {
        control_.report_failure(!devices ? devices.error() : !geometry ? geometry.error() : lease_end.error());
        begin_release();
        return;
    }
    if (const auto sent =
            deliver(delivery, start_.message.lease, *devices, lease_end->borrow(), context_->given_context());
        !sent) {
        control_.report_failure(sent.error());
        begin_release();
        return;
    }
    handed_out();
    device_count_ = start_.message.devices.size();
    reporter_.set_state(LeaseState::active, Clock::now());
}

// What went out unbound is not held here: a rebind of its driver waits for every copy.
void Keeper::handed_out() {
    if (direct()) {
        context_->close_devices();
    }
}

// ---- release

void Keeper::begin_release() {
    if (stage_ != Stage::serving) {
        return;
    }
    stage_ = Stage::ending_dma;  // from here on nobody reads the lease channels
    grace_ends_.reset();
    reporter_.set_state(LeaseState::releasing, Clock::now());
    end_dma();
}

void Keeper::end_dma() {
    if (!take_back_.end_dma()) {
        return;
    }
    if (revoked_) {
        // Whoever hears it, the holder is killed: before it could map anew, and before anything is closed here.
        static_cast<void>(holders_.tell(make_event(IOMMUD_REVOKED, 0)));
        leave(ipc::KeeperWord::revoked);
    }
    // Monitor and vault know it before anything of the client's is closed, which may never return.
    stage_ = Stage::destroying;
    say(ipc::KeeperWord::dma_ended);
    reporter_.set_mapped(0, 0, Clock::now());
    reporter_.set_state(LeaseState::draining, Clock::now());
    holders_.dismiss(released_by_, released_reply_, parked_);
    destroy();
}

void Keeper::destroy() {
    if (!take_back_.destroy()) {
        return;
    }
    take_back_.close_devices();
    // The holder of a direct lease goes on mapping, and somebody has to go on unmapping: not who may be kept waiting.
    if (direct() && !abandoned_ && (parked_.any() || holders_.count() > 0)) {
        leave(ipc::KeeperWord::leaving);
    }
    // A managed lease stays charged for as long as this waits. One of the parked may be of its own device.
    holders_.close(parked_);
    parked_.close();
    stage_ = Stage::draining;
    drain();
}

void Keeper::say(ipc::KeeperWord word) const {
    // Of one byte, into a pipe that nobody else writes to and that holds 64 KiB; a vault that is gone needs no word.
    static_cast<void>(word_.valid() && ::write(word_.get(), &word, 1) == 1);
}

// The kernel closes what is left. That may take for ever, and nobody waits for it.
void Keeper::leave(ipc::KeeperWord word) const {
    say(word);
    ::_exit(static_cast<int>(ExitCode::left));
}

void Keeper::drain() {
    if (take_back_.drained()) {
        abandoned_ = false;
        stage_ = Stage::done;
    } else if (abandoned_) {
        stage_ = Stage::done;
    }
}

void Keeper::abandon() {
    abandoned_ = true;  // and neither descriptor is waited for again: both have hung up for good
    begin_release();
}

// ---- the loop

struct Keeper::Waiting {
    std::array<pollfd, 3 + most_channels> fds{};
    std::array<std::size_t, most_channels> channels{};
    std::size_t count = 0;

    void add(BorrowedFd fd) { fds[count++] = {fd.get(), POLLIN, 0}; }
    [[nodiscard]] bool ready(std::size_t index) const { return fds[index].revents != 0; }
};

int Keeper::timeout_ms() const {
    if (stage_ != Stage::serving) {
        return take_back_.pause_ms();
    }
    auto next = Clock::time_point::max();
    next = std::min(next, grace_ends_.value_or(next));
    next = std::min(next, reporter_.due().value_or(next));
    if (next == Clock::time_point::max()) {
        return -1;
    }
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(wait, 0, 1000000));
}

void Keeper::wait_and_dispatch() {
    Waiting waiting;
    const BorrowedFd none;  // poll passes over it
    waiting.add(abandoned_ ? none : control_.fd());
    waiting.add(abandoned_ ? none : lifeline_.borrow());
    waiting.add(stage_ == Stage::serving ? signals_.borrow() : none);
    if (stage_ == Stage::serving) {
        for (std::size_t index = 0; index < most_channels; ++index) {
            if (holders_.at(index).open()) {
                waiting.channels[waiting.count - 3] = index;
                waiting.add(holders_.at(index).fd());
            }
        }
    }
    if (::poll(waiting.fds.data(), waiting.count, timeout_ms()) < 0) {
        return;  // EINTR; nothing else is possible, and the loop comes back
    }
    if (waiting.ready(1)) {
        abandon();
    } else if (waiting.ready(0)) {
        handle_control();
    }
    if (waiting.ready(2)) {
        begin_release();
    }
    // One packet of each: a client that writes without end neither starves the others nor hides a take-back.
    for (std::size_t i = 3; i < waiting.count && stage_ == Stage::serving; ++i) {
        if (waiting.ready(i)) {
            handle_channel(waiting.channels[i - 3]);
        }
    }
    pass_time();
}

void Keeper::pass_time() {
    switch (stage_) {
        case Stage::serving:
            break;
        case Stage::ending_dma:
            report_if_due();
            end_dma();
            return;
        case Stage::destroying:
            report_if_due();
            destroy();
            return;
        case Stage::draining:
            report_if_due();
            drain();
            if (stage_ == Stage::draining && holder_dies_ && Clock::now() >= *holder_dies_) {
                leave(ipc::KeeperWord::revoked);
            }
            return;
        case Stage::done:
            return;
    }
    if (grace_ends_ && Clock::now() >= *grace_ends_) {
        revoked_ = holder_dies_.has_value();
        begin_release();
    } else {
        report_if_due();
    }
}

// Of what is mapped; or again, because the monitor's queue was full.
void Keeper::report_if_due() {
    if (!reporter_.due()) {
        return;
    }
    if (const auto now = Clock::now(); now >= *reporter_.due()) {
        reporter_.report(now);
    }
}

// ---- the monitor's channel

void Keeper::handle_control() {
    ControlEvent event = control_.receive();
    if (std::holds_alternative<ControlLost>(event)) {
        abandon();
    } else if (std::holds_alternative<ipc::ReportRequest>(event)) {
        reporter_.report(Clock::now());
    } else if (const auto* const take_back = std::get_if<ipc::TakeBack>(&event)) {
        handle_take_back(*take_back);
    } else if (const auto* const question = std::get_if<ipc::DevicesRequest>(&event)) {
        control_.answer(ipc::KeeperDevices{static_cast<std::uint32_t>(device_count_), question->number});
    } else if (auto* const add = std::get_if<AddDevices>(&event)) {
        handle_add(std::move(*add));
    }
}

void Keeper::handle_take_back(const ipc::TakeBack& message) {
    const auto ends = Clock::now() + std::chrono::microseconds(std::min(message.grace_usec, ipc::max_grace_usec));
    if (direct() && message.kill_holder) {
        holder_dies_ = std::min(holder_dies_.value_or(ends), ends);
    }
    if (stage_ != Stage::serving) {
        return;
    }
    if (message.grace_usec == 0) {
        revoked_ = holder_dies_.has_value();
        begin_release();
        return;
    }
    grace_ends_ = std::min(grace_ends_.value_or(ends), ends);
    if (!holders_.tell(make_event(IOMMUD_RELEASE_REQUESTED, usec_of(*grace_ends_)))) {
        revoked_ = holder_dies_.has_value();
        begin_release();
    }
}

void Keeper::handle_add(AddDevices add) {
    const ipc::Channel delivery(std::move(add.fds.front()));
    add.fds.erase(add.fds.begin());
    const std::size_t wanted = add.message.devices.size();
    if (start_.message.kernel == KernelInterface::simulated) {
        add.fds.resize(wanted);
    }
    if (stage_ != Stage::serving) {
        control_.report_failure(Error{ErrorCode::lease_revoked, "the lease is ending"});
        return;
    }
    if (add.fds.size() != wanted || device_count_ + wanted > most_lease_devices) {
        control_.report_failure(
            Error{ErrorCode::device_limit, "a lease has at most " + std::to_string(most_lease_devices) + " devices"});
        return;
    }
    auto devices = add_devices(*context_, device_count_, std::move(add.fds),
                               {add.message.devices, add.message.no_reset_allowed, parse_uuid(add.message.vf_token),
                                add.message.vf_token_for});
    if (!devices) {
        control_.report_failure(devices.error());
        return;
    }
    auto given = refresh_geometry();
    if (given) {
        given = deliver(delivery, start_.message.lease, *devices, {}, {});
    }
    if (!given) {
        context_->remove_devices(device_count_);
        handed_out();
        control_.report_failure(given.error());
        return;
    }
    device_count_ += wanted;
    handed_out();
    reporter_.report(Clock::now());
}

}  // namespace iommud::keeper
