// The first frame on the control channel: what lease this is, and its descriptors.
#pragma once

#include <vector>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"

namespace iommud::keeper {

struct Start {
    ipc::KeeperStart message;
    UniqueFd context;               // /dev/iommu, a container, or the inert copy of one; none when simulated
    ipc::Channel delivery;          // closed for a successor
    std::vector<UniqueFd> devices;  // as many as `message.devices`; type1: their groups; none when simulated
};

// Waits `timeout_ms` for it. An Error says what is wrong with it.
[[nodiscard]] Result<Start> receive_start(const ipc::Channel& control, int timeout_ms);

// The descriptors sorted, where message and count fit together.
[[nodiscard]] Result<Start> check_start(ipc::KeeperStart message, std::vector<UniqueFd> fds);

inline constexpr std::uint32_t most_maps = 65535;  // DESIGN §3: bounds IO page tables

}  // namespace iommud::keeper
