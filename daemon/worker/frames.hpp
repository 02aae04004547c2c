// The monitor's frames: which may come when, with how many descriptors. Anything else is a bug of ours or an attack on
// a process more privileged than this one: either way the worker ends.
#pragma once

#include <span>
#include <variant>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/worker_messages.hpp"

namespace iommud::worker {

enum class Phase {
    starting,  // WorkerStart, and nothing else
    filling,   // ManagerView first, views, ViewComplete
    serving,   // views, *Gone, answers to requests
};

using Frame =
    std::variant<ipc::WorkerStart, ipc::ManagerView, ipc::DeviceView, ipc::DeviceGone, ipc::LeaseView, ipc::LeaseGone,
                 ipc::ViewComplete, ipc::RequestFailed, ipc::RequestDone, ipc::DeliveryComing, ipc::ExplainEntries,
                 ipc::AccountsEntries, ipc::PolicyEntries, ipc::EndpointOpened, ipc::ForgetAnswers>;

// The message in a frame with `fds` descriptors. Throws Fatal when it is none, or must not come in `phase`.
[[nodiscard]] Frame decode_frame(std::span<const std::byte> bytes, std::size_t fds, Phase phase);

}  // namespace iommud::worker
