// Giving devices: bind and attach each, refuse what cannot be reset, hand the descriptors over without waiting.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/kernel/context.hpp"

namespace iommud::keeper {

// A keeper's RLIMIT_NOFILE. The kernel allows as many descriptors to be under way, too, of all keepers of an account.
// More than a keeper has by itself, has parked, and gets with one packet.
inline constexpr unsigned most_descriptors = 512;

struct GrantedDevices {
    std::vector<std::string> names;    // "device:0000:00:04.0"
    std::vector<BorrowedFd> fds;       // the context's
    std::vector<PciAddress> no_reset;  // have no working reset of their own
};

// The devices of one grant, and what is special about some of them.
struct Asked {
    std::span<const PciAddress> devices;
    std::span<const PciAddress> no_reset_allowed;
    std::optional<Uuid> vf_token;
    std::span<const PciAddress> vf_token_for;
};

// `fds`: one for each device. All or nothing: on an error the context has the devices it had before. Waits for the
// devices' resets.
[[nodiscard]] Result<GrantedDevices> add_devices(kernel::DmaContext& context, std::size_t already_there,
                                                 std::vector<UniqueFd> fds, const Asked& asked);

// The names and descriptors in one frame, into the worker's delivery pair, without waiting. `lease_end` goes first, as
// "lease", and then `context`, as "iommu", where they are valid. Errors: internal, nobody will read it; lease_limit,
// the kernel has too many descriptors of this account under way.
[[nodiscard]] Result<void> deliver(const ipc::Channel& delivery, LeaseId lease, const GrantedDevices& devices,
                                   BorrowedFd lease_end, BorrowedFd context = {});

}  // namespace iommud::keeper
