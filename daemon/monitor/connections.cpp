// From an accepted socket to its end: who is counted, who is let in, and whose worker is killed.
#include <fmt/format.h>

#include <algorithm>

#include "daemon/base/log.hpp"
#include "daemon/base/pidfd.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {

void Monitor::accepted(UniqueFd socket, ConnectionKind kind, std::shared_ptr<const EndpointRecord> via) {
    const uid_t uid = peer_uid(socket.borrow());
    const Admission::Party party = party_of(uid, via.get());
    if (uid == static_cast<uid_t>(-1) || !admission_.look(party, Admission::Clock::now())) {
        return Burial::turn_away(owner_of(party), std::move(socket));
    }
    Result<Identity> who = identify_peer(socket.borrow());
    if (!who) {
        log::debug("a connection is closed: " + who.error().message);
        return Burial::turn_away(owner_of(party), std::move(socket));
    }
    if (const Result<void> welcome = let_in(*who, kind, via.get()); !welcome) {
        // Anybody may try, as often as he likes: not a warning each time, but where administrators connect.
        log::write(kind == ConnectionKind::admin ? log::Priority::warning : log::Priority::debug,
                   fmt::format("{}, in the cgroup {}, is turned away from {}: {}", who->text(),
                               who->cgroup.empty() ? "?" : who->cgroup,
                               via                             ? "container " + via->id + "'s endpoint"
                               : kind == ConnectionKind::admin ? "the administrators' socket"
                                                               : "the host's socket",
                               welcome.error().message));
        return Burial::turn_away(owner_of(party), std::move(socket));
    }
    auto connection = std::make_shared<Connection>(*this, kind, std::move(*who), std::move(socket), std::move(via));
    if (const char* refusal = admission_.enter(connection->party())) {
        log::debug(fmt::format("{}: {}", connection->who().text(), refusal));
        return;
    }
    connections_.push_back(connection);
    connection->wait_for_first_byte();
}

Admission::Party Monitor::party_of(uid_t uid, const EndpointRecord* via) const {
    if (via != nullptr) {
        return {.uid = uid, .endpoint = via->key()};
    }
    const std::uint32_t owner = policy_.current().names.owner_of(uid).value_or(Admission::several_owners);
    return {.uid = owner, .endpoint = {}, .root = uid == 0};
}

void Monitor::start_system_bus_worker() {
    auto connection = std::make_shared<Connection>(*this, ConnectionKind::system_bus, Identity{}, UniqueFd());
    bus_back_off_.started(BackOff::Clock::now());
    if (const char* refusal = admission_.enter(connection->party())) {
        return_to_system_bus(fmt::format("has no place: {}", refusal));
        return;
    }
    connections_.push_back(connection);
    connection->start_worker();
    if (!connection->slot()) {
        return_to_system_bus("cannot be started");
    }
}

std::optional<std::uint32_t> Monitor::take_slot(Connection& connection) {
    std::uint32_t slot = 0;
    for (const auto& [taken, holder] : slots_) {
        if (taken != slot) {
            break;
        }
        ++slot;
    }
    if (slot >= ipc::max_worker_slot) {
        return std::nullopt;
    }
    slots_.emplace(slot, connection.shared_from_this());
    return slot;
}

void Monitor::drop(Connection& connection) {
    const auto keep_alive = connection.shared_from_this();
    connection.close();
    // A connection with a worker counts until that has exited: while it takes its time, its slot is nobody else's.
    if (std::erase(connections_, keep_alive) > 0 && !connection.slot()) {
        admission_.leave(connection.party());
    }
}

void Monitor::expel(Connection& connection, const char* fault) {
    log::error(fmt::format("the worker of {} {}: killed", connection.who().text(), fault));
    cut_off(connection);
}

void Monitor::cut_off(Connection& connection) {
    const auto slot = connection.slot();
    drop(connection);
    if (slot) {
        vault_->send(ipc::KillChild{.kind = ipc::ChildKind::worker, .id = *slot});
    }
}

void Monitor::worker_exited(const ipc::WorkerExited& exit) {
    const auto found = slots_.find(exit.slot);
    if (found == slots_.end()) {
        throw Fatal(fmt::format("the vault says that worker {} exited, which nobody started", exit.slot));
    }
    const std::shared_ptr<Connection> connection = found->second;
    slots_.erase(found);
    admission_.leave(connection->party());
    const bool on_bus = connection->kind() == ConnectionKind::system_bus;
    if (exit.status != "exited 0" && connection->serving() && !on_bus) {
        log::warning(fmt::format("the worker of {} {}", connection->who().text(), exit.status));
    }
    drop(*connection);
    if (on_bus) {
        return_to_system_bus(exit.status);
    }
}

// The bus is restarted, or gone, or has given our name to somebody else: until that is over there is one line of it.
void Monitor::return_to_system_bus(const std::string& status) {
    const auto [wait, first] = bus_back_off_.failed(BackOff::Clock::now());
    log::write(first ? log::Priority::warning : log::Priority::debug,
               fmt::format("the worker of the system bus {}: another is started", status));
    bus_retry_.expires_after(wait);
    bus_retry_.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
            start_system_bus_worker();
        }
    });
}

void Monitor::for_each_connection(const std::function<void(Connection&)>& action) {
    const std::vector<std::shared_ptr<Connection>> now = connections_;  // an action may end one
    for (const auto& connection : now) {
        action(*connection);
    }
}

}  // namespace iommud::monitor
