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
constexpr std::string_view mark_prefix = "container/";

std::string held_name(const std::string& id) {
    return std::string(held_prefix) + id;
}

std::string mark_name(const ContainerMark& mark) {
    return fmt::format("{}{}", mark_prefix, mark.cgroup);
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
Result<CgroupId> Endpoints::own_cgroup(const Init& init, const Identity& asker, const std::string& id) {
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
    const auto& ids = init.cgroups;
    if (!ids) {
        return tl::unexpected(ids.error());
    }
    const auto askers = cgroup_ids(asker.cgroup);
    if (!askers || contains(*askers, ids->front())) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("the container has no cgroup of its own: {} is its engine's too", init.cgroup));
    }
    collect_marks();
    const Result<void> free = marks_.may_mark(*ids, init.cgroup, id);
    return free ? Result<CgroupId>(ids->front()) : tl::unexpected(free.error());
}

void Endpoints::mark(ContainerMark mark) {
    monitor_.vault().send(ipc::Hold{.name = mark_name(mark), .value = ipc::encode_value(mark)});
    marks_.add(std::move(mark));
}

// Each costs a look at its cgroup: only when there may be twice as many as were left the last time.
void Endpoints::collect_marks() {
    if (marks_.size() < collect_at_ && marks_.size() < ContainerMarks::most) {
        return;
    }
    for (const ContainerMark& mark :
         marks_.collect([](const ContainerMark& one) { return cgroup_gone(one.path, one.cgroup); })) {
        monitor_.vault().send(ipc::Unhold{.name = mark_name(mark)});
    }
    constexpr std::size_t few = 32;
    collect_at_ = 2 * marks_.size() + few;
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
    const Result<CgroupId> cgroup = own_cgroup(*init, asker, request.id);
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
    if (*cgroup != 0) {
        mark({.cgroup = *cgroup, .path = init->cgroup, .container = request.id});  // before anybody can connect
    }
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

std::string Endpoints::key_of(const std::string& id) const {
    const auto found = open_.find(id);
    return found == open_.end() ? std::string() : found->second->record->key();
}

void Endpoints::close(const std::string& id, bool if_ended) {
    const auto found = open_.find(id);
    if (found == open_.end() || (if_ended && still_runs(found->second->init.borrow()))) {
        return;
    }
    const std::shared_ptr<const EndpointRecord> record = found->second->record;
    const bool ended = !still_runs(found->second->init.borrow());
    found->second->listener->turn_away(owner_of({.uid = 0, .endpoint = record->key()}));
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
    if (std::string_view(thing.name).starts_with(mark_prefix)) {
        auto mark = ipc::decode_value<ContainerMark>(thing.value);
        if (!mark || mark_name(*mark) != thing.name) {
            throw Fatal("the vault's record of " + thing.name + " is not one of ours");
        }
        marks_.add(std::move(*mark));
    }
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
        const bool runs = init && init->start == record.start;
        if (record.cgroup != 0 && !marks_.contains(record.cgroup)) {
            // Opened by a daemon that made no marks. Where the cgroup of one that has ended was, nobody knows.
            mark({.cgroup = record.cgroup, .path = runs ? init->cgroup : std::string(), .container = id});
        }
        if (runs) {
            serve(std::make_shared<const EndpointRecord>(std::move(record)), std::move(init->pidfd), std::move(socket));
        } else {
            log::notice(fmt::format("container {} has ended meanwhile: its endpoint is closed", id),
                        {endpoint_field(record)});
            turn_away_all(socket.borrow(), owner_of({.uid = 0, .endpoint = record.key()}));
            monitor_.vault().send(ipc::Unhold{.name = held_name(id)});
        }
    }
    held_.clear();
    collect_marks();
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
