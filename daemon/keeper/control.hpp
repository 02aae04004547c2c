// The monitor's channel: what it asks, and what it is told. The monitor may be away, or not reading: nothing is waited
// for, what does not fit is dropped, and a later report says the same again.
#pragma once

#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"

namespace iommud::keeper {

// KeeperAdd with its descriptors.
struct AddDevices {
    ipc::KeeperAdd message;
    std::vector<UniqueFd> fds;
};

struct ControlNothing {};  // nothing to read, or a frame that this version does not know
struct ControlLost {};     // hang-up, or rubbish: nobody answers for this keeper any more
using ControlEvent =
    std::variant<ControlNothing, ControlLost, ipc::ReportRequest, ipc::DevicesRequest, ipc::TakeBack, AddDevices>;

class Control {
  public:
    explicit Control(ipc::Channel channel) : channel_(std::move(channel)) {}

    [[nodiscard]] BorrowedFd fd() const { return channel_.fd(); }
    [[nodiscard]] ControlEvent receive();

    // False when it was dropped.
    bool report(const ipc::KeeperReport& report) const { return channel_.send(report) == ipc::SendResult::sent; }
    void answer(const ipc::KeeperDevices& devices) const { static_cast<void>(channel_.send(devices)); }
    void report_failure(const Error& error) const;

  private:
    ipc::Channel channel_;
};

}  // namespace iommud::keeper
