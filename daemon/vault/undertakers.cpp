// The processes that close for the vault and for the monitor, which never wait (daemon/undertaker/burial.hpp).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <string_view>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/vault/vault.hpp"

namespace iommud::vault {
namespace {

using namespace std::chrono_literals;

// Of each closer: those at work, and those that were killed while the kernel made them wait for what no signal ends (a
// FUSE server, a device's reset). Beyond that nobody is hired, and what is to be closed stays open, until one is gone.
constexpr std::ptrdiff_t most_undertakers = 16;
constexpr auto until_another_try = 1s;

constexpr std::string_view name_of(bool vaults) {
    return vaults ? "vault" : "monitor";
}

}  // namespace

void Vault::dismiss(Burial::Id id) {
    const auto undertaker = undertakers_.find(id);
    if (undertaker != undertakers_.end() && !std::exchange(undertaker->second.dismissed, true)) {
        signal(undertaker->second.child, SIGKILL);
    }
}

void Vault::dismiss_monitors() {
    for (const auto& [id, undertaker] : undertakers_) {
        if (undertaker.closer == Closer::monitor) {
            dismiss(id);
        }
    }
}

// Of each closer as many as a Burial has.
void Vault::leave_full(Burial::Id id) {
    Undertaker& undertaker = undertakers_.at(id);
    const auto full = std::count_if(undertakers_.begin(), undertakers_.end(), [&undertaker](const auto& other) {
        return other.second.closer == undertaker.closer && other.second.full;
    });
    undertaker.full = undertaker.full || (!undertaker.dismissed && full < std::ptrdiff_t{Burial::most_morgues});
}

void Vault::hire(Closer closer) {
    const bool own = closer == Closer::vault;
    std::ptrdiff_t all = 0;
    std::size_t at_work = 0;
    for (const auto& [id, undertaker] : undertakers_) {
        const bool counts = undertaker.closer == closer && !undertaker.full;
        all += counts ? 1 : 0;
        at_work += counts && !undertaker.dismissed ? 1U : 0U;
    }
    for (; at_work < Burial::undertakers && (own || link_.connected()); ++at_work, ++all) {
        if (all >= most_undertakers) {
            log::error(
                fmt::format("{} undertakers of the {} were killed and do not end; {} of {} remain to close descriptors",
                            static_cast<std::size_t>(all) - at_work, name_of(own), at_work, Burial::undertakers));
            return;
        }
        std::optional<Place> place;
        if (real_) {
            const uid_t uid = real_->first_worker_uid + ipc::undertaker_slot;
            place = Place{{uid, uid}, {}};
        }
        auto undertaker = spawner_.undertaker(place);
        if (!undertaker) {
            log::error(
                fmt::format("no undertaker for the {}, trying again: {}", name_of(own), undertaker.error().message));
            schedule(Due::undertaker, until_another_try);
            return;
        }
        const Burial::Id id = next_undertaker_++;
        watch(undertaker->child.pidfd.borrow(), Source::undertaker, id);
        undertakers_.emplace(id, Undertaker{std::move(undertaker->child), closer});
        if (own) {
            watch(undertaker->channel.fd(), Source::burial);
            burial_.hire(id, std::move(undertaker->channel));
        } else {
            const std::array<BorrowedFd, 1> fds{undertaker->channel.fd()};
            tell(ipc::UndertakerComing{id}, fds);
        }
    }
}

void Vault::let_bury() {
    for (const Burial::Id id : burial_.work(Clock::now())) {
        if (burial_.full(id)) {
            leave_full(id);
            hire(Closer::vault);
            continue;
        }
        log::warning(fmt::format("the vault's undertaker {} does not come back from a close, or is gone", id));
        unwatch(burial_.channel(id));
        burial_.forget(id);
        dismiss(id);
        hire(Closer::vault);
    }
}

void Vault::on_undertaker_exit(Burial::Id id) {
    const auto undertaker = undertakers_.find(id);
    if (undertaker == undertakers_.end() || !reap(undertaker->second.child)) {
        return;
    }
    const Undertaker gone = std::move(undertaker->second);
    undertakers_.erase(undertaker);
    if (gone.dismissed) {
        hire(gone.closer);  // if there were too many
    }                       // else its closer sees that, and asks
}

Result<void> Vault::carry_out(const ipc::ReplaceUndertaker& request, ipc::Packet&) {
    if (const auto found = undertakers_.find(request.id);
        found != undertakers_.end() && found->second.closer == Closer::monitor) {
        if (request.full) {
            leave_full(request.id);
        } else {
            dismiss(request.id);
        }
    }
    hire(Closer::monitor);  // it may have gone by itself
    return {};
}

}  // namespace iommud::vault
