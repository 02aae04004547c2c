// What the monitor asks of the vault, carried out.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "daemon/base/bounds.hpp"
#include "daemon/base/log.hpp"
#include "daemon/base/pidfd.hpp"
#include "daemon/vault/requests.hpp"
#include "daemon/vault/vault.hpp"

namespace iommud::vault {
namespace {

using namespace std::chrono_literals;

}  // namespace

Result<void> Vault::handle(ipc::Packet& packet) {
    const auto request = read_request(packet);
    if (!request) {
        return tl::unexpected(request.error());
    }
    return std::visit([this, &packet](const auto& verb) { return carry_out(verb, packet); }, *request);
}

Result<void> Vault::carry_out(const ipc::StartWorker& request, ipc::Packet& packet) {
    if (auto admitted = holdings_.admit(request); !admitted) {
        return admitted;
    }
    const bool on_bus = request.kind == ConnectionKind::system_bus;
    std::optional<Place> place;
    if (real_) {
        const uid_t own = real_->first_worker_uid + request.slot;
        place = Place{on_bus ? real_->bus_worker : User{own, own}, real_->cgroups.workers()};
    }
    auto child = spawner_.worker(place, packet.fds.back().borrow(), on_bus ? BorrowedFd() : packet.fds[0].borrow());
    UniqueFd client = on_bus ? UniqueFd() : std::move(packet.fds[0]);
    if (child && !on_bus) {
        child->client = peer_pidfd(client.borrow());
        child->client_uid = peer_uid(client.borrow());
    }
    Burial::let_go(request.owner, std::move(client));
    if (!child) {
        tell(ipc::WorkerExited{request.slot, child.error().message});
        return {};
    }
    watch(child->pidfd.borrow(), Source::worker, request.slot);
    holdings_.workers.emplace(request.slot, std::move(*child));
    return {};
}

Result<void> Vault::may_grant(std::uint32_t account_uid) const {
    if (stopping_) {
        return fail(ErrorCode::internal, "the vault is stopping");
    }
    if (const std::size_t stuck = holdings_.given_up(account_uid); stuck >= most_given_up) {
        return fail(
            ErrorCode::lease_limit,
            fmt::format("{} processes that kept leases of this account still wait in the kernel: for descriptors that "
                        "its clients sent, or for a bus whose lock somebody else's call on a device of that bus "
                        "keeps; with {} it gets no further lease",
                        stuck, most_given_up));
    }
    if (!kernel_) {
        return fail(ErrorCode::kernel_unsupported,
                    "this kernel has neither /dev/iommu nor /dev/vfio/vfio: load iommufd and vfio_pci");
    }
    return {};
}

Result<void> Vault::carry_out(const ipc::GrantLease& request, ipc::Packet& packet) {
    if (auto admitted = holdings_.admit(request); !admitted) {
        return admitted;
    }
    holdings_.last_lease = request.lease;
    auto ready = within_bounds(request);
    if (ready) {
        ready = holdings_.room_for(request);
    }
    if (ready) {
        ready = may_grant(request.account_uid);
    }
    if (ready) {
        Lease& lease = holdings_.leases[request.lease];
        lease.start = {.role = ipc::KeeperRole::keeper,
                       .kernel = *kernel_,
                       .lease = request.lease,
                       .mode = request.mode,
                       .reserve = request.reserve,
                       .memlock = request.memlock,
                       .maps = request.maps,
                       .devices = request.devices,
                       .no_reset_allowed = request.no_reset_allowed,
                       .vf_token = request.vf_token,
                       .vf_token_for = request.vf_token_for,
                       .faults = *kernel_ == KernelInterface::simulated ? request.faults : std::vector<std::string>()};
        lease.account_uid = request.account_uid;
        lease.memory_max = request.memory_max;
        lease.record = request.record;
        lease.asked_by = link_.generation();
        ready = request.mode == Mode::direct ? take_holder(lease, request) : Result<void>();
        if (ready) {
            ready = start_keeper(lease, packet.fds[0].borrow());
        }
        lease.start.vf_token.clear();  // no successor binds anything
        schedule(Due::opening, longest_opening, request.lease);
    }
    if (!ready) {
        holdings_.leases[request.lease].asked_by = link_.generation();
        end_lease(request.lease, ready.error());
    }
    return {};
}

Result<void> Vault::carry_out(const ipc::ExtendLease& request, ipc::Packet& packet) {
    Lease* lease = holdings_.find(request.lease);
    auto ready = within_bounds(request);
    if (ready && lease != nullptr) {
        ready = may_grant(lease->account_uid);
    }
    if (ready && (lease == nullptr || lease->phase != Phase::running)) {
        ready = fail(ErrorCode::no_such_lease, fmt::format("lease {} is not there any more", request.lease));
    } else if (ready && lease->extension) {
        ready = fail(ErrorCode::device_busy, fmt::format("lease {} is being extended already", request.lease));
    }
    if (ready) {
        // What it was granted. What was added, or was not, the keeper knows.
        const std::vector<PciAddress>& devices = lease->start.devices;
        if (devices.size() + request.devices.size() > most_lease_devices ||
            std::find_first_of(devices.begin(), devices.end(), request.devices.begin(), request.devices.end()) !=
                devices.end()) {
            ready = fail(ErrorCode::internal, fmt::format("lease {} extended by what it has, or beyond {} devices",
                                                          request.lease, most_lease_devices));
        }
    }
    if (ready) {
        auto extension = spawner_.extension(
            *lease, {request.devices, request.no_reset_allowed, request.vf_token, request.vf_token_for},
            packet.fds[0].borrow());
        if (extension) {
            // From here on the keeper may have them, whatever becomes of the child: a record with too many frees
            // nothing too early.
            extension->old_record = std::exchange(lease->record, request.record);
            watch(extension->child.pidfd.borrow(), Source::extension, request.lease);
            watch(extension->report.fd(), Source::added, request.lease);
            extension->opened_by = Clock::now() + longest_opening;
            lease->extension = std::move(*extension);
            schedule(Due::opening, longest_opening, request.lease);
            return {};
        }
        ready = tl::unexpected(extension.error());
    }
    tell(ipc::ExtendResult{request.lease, false, ready.error().code, ready.error().message});
    return {};
}

Result<void> Vault::carry_out(const ipc::SetLimit& request, ipc::Packet&) {
    if (const auto fits = within_bounds(request); !fits) {
        log::error(
            fmt::format("account {} keeps the limit that it had: {}", request.account_uid, fits.error().message));
        return {};
    }
    bool found = false;
    for (auto& [id, lease] : holdings_.leases) {
        if (lease.account_uid != request.account_uid) {
            continue;
        }
        found = true;
        lease.start.memlock = request.memlock;
        lease.memory_max = request.memory_max;
        limit_keeper(lease);
    }
    if (found) {
        limit_cgroup_of(request.account_uid, request.memory_max);
    }
    return {};
}

// Who is not there any more is no error: its end is on its way to the monitor.
Result<void> Vault::carry_out(const ipc::KillChild& request, ipc::Packet&) {
    if (request.kind == ipc::ChildKind::keeper) {
        if (Lease* lease = holdings_.find(request.id)) {
            kill_keeper(*lease);
        }
    } else if (const auto worker = holdings_.workers.find(static_cast<std::uint32_t>(request.id));
               worker != holdings_.workers.end() && worker->first == request.id) {
        signal(worker->second, SIGKILL);
    }
    return {};
}

// Its keeper is to unmap first, and says when it has: then the holder is killed at once. It is killed without that
// word, too, because the keeper may hang in the kernel as long as the holder likes (hazard C22).
Result<void> Vault::carry_out(const ipc::CondemnHolder& request, ipc::Packet&) {
    constexpr auto until_the_keeper_has_unmapped = 1s;
    Lease* lease = holdings_.find(request.lease);
    const auto in = std::chrono::microseconds(request.grace_usec) + until_the_keeper_has_unmapped;
    const auto dies = Clock::now() + in;
    if (lease != nullptr && lease->holder && dies < lease->holder_dies.value_or(Clock::time_point::max())) {
        lease->holder_dies = dies;
        schedule(Due::holder, in, request.lease);
    }
    return {};
}

// No user makes a monitor of ours ask for so much: endpoints have a bound, and devices have two marks each.
Result<void> Vault::carry_out(const ipc::Hold& request, ipc::Packet& packet) {
    auto fits = within_bounds(request);
    if (fits) {
        fits = holdings_.room_for(request);
    }
    if (!fits) {
        log::error(fmt::format("the vault does not hold what the monitor gave it: {}", fits.error().message));
        return {};
    }
    if (real_ && packet.fds.empty()) {
        if (auto kept = real_->values.hold(request.name, request.value); !kept) {
            log::error(
                fmt::format("{} is held, but does not outlive the vault: {}", request.name, kept.error().message));
        }
    }
    holdings_.things[request.name] = {request.value, packet.fds.empty() ? UniqueFd() : std::move(packet.fds[0])};
    return {};
}

Result<void> Vault::carry_out(const ipc::Unhold& request, ipc::Packet&) {
    holdings_.things.erase(request.name);
    if (auto dropped = real_ ? real_->values.unhold(request.name) : Result<void>(); !dropped) {
        log::error(fmt::format("{} is held no more, but by the next vault: {}", request.name, dropped.error().message));
    }
    return {};
}

}  // namespace iommud::vault
