#include "daemon/monitor/endpoints.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "daemon/base/log.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

constexpr std::string_view held_prefix = "endpoint/";

std::string held_name(const std::string& id) {
    return std::string(held_prefix) + id;
}

log::Field endpoint_field(const EndpointRecord& record) {
    return {"IOMMUD_ENDPOINT", record.id};
}

bool contains(const std::vector<CgroupId>& ids, CgroupId id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

Endpoints::Endpoint::~Endpoint() {
    if (init_watch.is_open()) {
        init_watch.release();
    }
}

Endpoints::Endpoints(Monitor& monitor) : monitor_(monitor), folder_(monitor.options().run) {}

// A cgroup of the container's own: one that it shares with its engine, or with another container, tells nobody apart.
Result<CgroupId> Endpoints::own_cgroup(const Init& init, const Identity& asker) const {
    if (monitor_.options().simulated) {
        return CgroupId{0};
    }
    if (!asker.pidfd.valid()) {
        return fail(ErrorCode::kernel_unsupported,
                    "endpoints need a kernel that gives a pidfd of its peer (6.5 or newer)");
    }
    if (init.cgroup.empty()) {
        return fail(ErrorCode::kernel_unsupported, "endpoints need cgroups of version 2 alone: the unified hierarchy");
    }
    const auto ids = cgroup_ids(init.cgroup);
    if (!ids) {
        return tl::unexpected(ids.error());
    }
    const auto askers = cgroup_ids(asker.cgroup);
    if (!askers || contains(*askers, ids->front())) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("the container has no cgroup of its own: {} is its engine's too", init.cgroup));
    }
    for (const auto& [id, endpoint] : open_) {
        if (endpoint->record->cgroup == ids->front()) {
            return fail(ErrorCode::invalid_argument,
                        fmt::format("the cgroup {} is that of container {} already", init.cgroup, id));
        }
    }
    return ids->front();
}

Result<std::string> Endpoints::open(const ipc::OpenEndpointRequest& request, const Identity& asker) {
    if (Result<void> checked = check_endpoint(request); !checked) {
        return tl::unexpected(checked.error());
    }
    if (open_.size() >= most) {
        return fail(ErrorCode::invalid_argument, fmt::format("{} containers have an endpoint: no more fit", most));
    }
    if (const auto found = open_.find(request.id); found != open_.end() && still_runs(found->second->init.borrow())) {
        return fail(ErrorCode::invalid_argument, fmt::format("container {} has an endpoint already", request.id));
    }
    close(request.id, true);
    Result<Init> init = look_at_init(static_cast<pid_t>(request.pid));
    if (!init) {
        return tl::unexpected(init.error());
    }
    const Result<CgroupId> cgroup = own_cgroup(*init, asker);
    if (!cgroup) {
        return tl::unexpected(cgroup.error());
    }
    Result<UniqueFd> socket = folder_.make(request.id);
    if (!socket) {
        folder_.remove(request.id);
        return tl::unexpected(socket.error());
    }
    auto record = std::make_shared<const EndpointRecord>(EndpointRecord{.id = request.id,
                                                                        .pid = request.pid,
                                                                        .start = init->start,
                                                                        .cgroup = *cgroup,
                                                                        .owner = request.owner,
                                                                        .devices = request.devices,
                                                                        .memory = request.memory,
                                                                        .annotations = request.annotations});
    if (Result<void> kept = hold(*record, socket->borrow()); !kept) {
        folder_.remove(request.id);
        return tl::unexpected(kept.error());
    }
    log::notice(fmt::format("container {} may connect: pid {}, uid {} pays", record->id, record->pid, record->owner),
                {endpoint_field(*record)});
    serve(record, std::move(init->pidfd), std::move(*socket));
    return folder_.path_of(request.id);
}

Result<void> Endpoints::hold(const EndpointRecord& record, BorrowedFd socket) {
    ipc::Bytes value = ipc::encode_value(record);
    std::vector<UniqueFd> fds;
    fds.emplace_back(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!fds.front().valid()) {
        return fail(ErrorCode::internal, errno_message("duplicate an endpoint's socket", errno));
    }
    if (value.size() > ipc::max_record) {
        return fail(ErrorCode::invalid_argument, "the container's annotations are too long");
    }
    monitor_.vault().send(ipc::Hold{.name = held_name(record.id), .value = std::move(value)}, std::move(fds));
    return {};
}

void Endpoints::serve(const std::shared_ptr<const EndpointRecord>& record, UniqueFd init, UniqueFd socket) {
    auto endpoint = std::make_unique<Endpoint>(monitor_.io());
    endpoint->record = record;
    endpoint->init = std::move(init);
    endpoint->init_watch.assign(endpoint->init.get());
    // A pidfd is readable from its process's exit on.
    endpoint->init_watch.async_wait(
        boost::asio::posix::descriptor_base::wait_read,
        [this, id = record->id, key = record->key()](const boost::system::error_code& error) {
            const auto found = open_.find(id);
            if (!error && found != open_.end() && found->second->record->key() == key) {
                close(id, false);
            }
        });
    endpoint->listener.emplace(
        monitor_.io(), std::move(socket),
        [this, record](UniqueFd connection) { accepted(record, std::move(connection)); },
        [this] { return monitor_.holds_back(); });
    open_[record->id] = std::move(endpoint);
}

void Endpoints::accepted(const std::shared_ptr<const EndpointRecord>& record, UniqueFd socket) {
    monitor_.accepted(std::move(socket), ConnectionKind::client, record);
}

bool Endpoints::inside(const Identity& who, const EndpointRecord& endpoint) const {
    if (monitor_.options().simulated) {
        return true;
    }
    const auto ids = who.pidfd.valid() ? cgroup_ids(who.cgroup) : Result<std::vector<CgroupId>>();
    // Looked at by number and path: worth something only if it was still that process.
    return ids && contains(*ids, endpoint.cgroup) && still_runs(who.pidfd.borrow());
}

bool Endpoints::in_any(const Identity& who) const {
    if (open_.empty() || monitor_.options().simulated) {
        return false;
    }
    const auto ids = cgroup_ids(who.cgroup);
    if (!ids) {
        return who.cgroup != "/";
    }
    return std::any_of(open_.begin(), open_.end(),
                       [&ids](const auto& entry) { return contains(*ids, entry.second->record->cgroup); });
}

void Endpoints::close(const std::string& id, bool if_ended) {
    const auto found = open_.find(id);
    if (found == open_.end() || (if_ended && still_runs(found->second->init.borrow()))) {
        return;
    }
    const std::shared_ptr<const EndpointRecord> record = found->second->record;
    const bool ended = !still_runs(found->second->init.borrow());
    open_.erase(found);
    monitor_.vault().send(ipc::Unhold{.name = held_name(id)});
    folder_.remove(id);
    log::notice(fmt::format("container {} {}: its endpoint is closed", id, ended ? "has ended" : "is cut off"),
                {endpoint_field(*record)});
    monitor_.for_each_connection([this, &record](Connection& connection) {
        if (connection.via() == record) {
            monitor_.cut_off(connection);
        }
    });
    end_leases(record->key());
}

void Endpoints::end_leases(const std::string& key) {
    for (const auto& [id, lease] : monitor_.leases().all()) {
        if (lease->record.endpoint == key && lease->state < LeaseState::releasing) {
            monitor_.keepers().take_back(*lease, 0, "its container has ended");
        }
    }
}

void Endpoints::held(const ipc::HeldThing& thing, UniqueFd socket) {
    if (!std::string_view(thing.name).starts_with(held_prefix)) {
        return;
    }
    auto record = ipc::decode_value<EndpointRecord>(thing.value);
    if (!record || !socket.valid() || held_name(record->id) != thing.name || !valid_endpoint_id(record->id)) {
        throw Fatal("the vault's record of " + thing.name + " is not one of ours");
    }
    std::string id = record->id;
    held_.emplace(std::move(id), std::pair(std::move(*record), std::move(socket)));
}

void Endpoints::settle() {
    for (auto& [id, entry] : held_) {
        auto& [record, socket] = entry;
        Result<Init> init = look_at_init(static_cast<pid_t>(record.pid));
        if (init && init->start == record.start) {
            serve(std::make_shared<const EndpointRecord>(std::move(record)), std::move(init->pidfd), std::move(socket));
        } else {
            log::notice(fmt::format("container {} has ended meanwhile: its endpoint is closed", id),
                        {endpoint_field(record)});
            monitor_.vault().send(ipc::Unhold{.name = held_name(id)});
        }
    }
    held_.clear();
    for (const std::string& name : folder_.list()) {
        if (!open_.contains(name)) {
            folder_.remove(name);
        }
    }
    for (const auto& [id, lease] : monitor_.leases().all()) {
        const std::string& key = lease->record.endpoint;
        const auto same = [&key](const auto& entry) { return entry.second->record->key() == key; };
        if (!key.empty() && key != bus_endpoint && lease->state < LeaseState::releasing &&
            std::none_of(open_.begin(), open_.end(), same)) {
            monitor_.keepers().take_back(*lease, 0, "its container has ended");
        }
    }
}

}  // namespace iommud::monitor
