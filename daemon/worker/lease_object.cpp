// /org/iommud1/lease/<id>: org.iommud1.Lease.
#include "daemon/worker/arguments.hpp"
#include "daemon/worker/names.hpp"
#include "daemon/worker/paths.hpp"
#include "daemon/worker/session.hpp"
#include "daemon/worker/text.hpp"

namespace iommud::worker {
namespace {

using ipc::LeaseView;

// The lease that `call` is for: its path names one that exists, or sd-bus would not have called.
Result<LeaseId> lease_of(sd_bus_message* call) {
    const char* const path = sd_bus_message_get_path(call);
    const auto lease = path == nullptr ? std::nullopt : lease_id_of(path);
    return lease ? Result<LeaseId>(*lease) : fail(ErrorCode::no_such_lease, "the call's path is no lease's");
}

Result<void> release(Session& session, sd_bus_message* call) {
    const auto lease = lease_of(call);
    if (!lease) {
        return tl::unexpected(lease.error());
    }
    if (auto options = read_options(call).and_then(parse_no_options); !options) {
        return options;
    }
    return session.requests.begin(call, RequestKind::release, ipc::ReleaseRequest{.cookie = 0, .lease = *lease});
}

Result<void> add(Session& session, sd_bus_message* call) {
    const auto lease = lease_of(call);
    if (!lease) {
        return tl::unexpected(lease.error());
    }
    if (auto carried = check_carries_fds(call); !carried) {
        return carried;
    }
    auto devices = read_addresses(call);
    if (!devices) {
        return tl::unexpected(devices.error());
    }
    if (auto options = read_options(call).and_then(parse_no_options); !options) {
        return options;
    }
    ipc::AddRequest request{.cookie = 0, .lease = *lease, .devices = *devices};
    return session.requests.begin(call, RequestKind::add, std::move(request), std::move(*devices));
}

template <auto Handler>
int method(sd_bus_message* call, void*, sd_bus_error* error) noexcept {
    // The userdata is the lease's view; the session is the slot's, as given to sd_bus_add_fallback_vtable().
    sd_bus_slot* const slot = sd_bus_get_current_slot(sd_bus_message_get_bus(call));
    return answer<Handler>(*static_cast<Session*>(sd_bus_slot_get_userdata(slot)), call, error);
}

template <auto Member>
constexpr auto of_record = [](const LeaseView& view) { return view.record.*Member; };
template <auto Get>
constexpr sd_bus_property_get_t get = property<LeaseView, Get>;

constexpr auto mapped = [](const LeaseView& view) { return view.mapped; };
constexpr auto state = [](const LeaseView& view) { return name_of(view.state); };
constexpr auto mode = [](const LeaseView& view) { return name_of(view.record.mode); };
constexpr auto devices = [](const LeaseView& view) {
    std::vector<std::string> addresses;
    for (const PciAddress& address : view.record.devices) {
        addresses.push_back(address.text());
    }
    return addresses;
};

const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Release", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method<release>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Add", SD_BUS_ARGS("as", devices, "a{sv}", options), SD_BUS_RESULT("a(sh)", fds),
                            method<add>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Id", "t", get<of_record<&LeaseRecord::id>>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Account", "u", get<of_record<&LeaseRecord::account_uid>>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Holder", "u", get<of_record<&LeaseRecord::holder_uid>>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("HolderPid", "u", get<of_record<&LeaseRecord::holder_pid>>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Mode", "s", get<mode>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Label", "s", get<of_record<&LeaseRecord::label>>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Devices", "as", get<devices>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("MemoryReserved", "t", get<of_record<&LeaseRecord::memory>>, 0,
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("MemoryMapped", "t", get<mapped>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("State", "s", get<state>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Created", "t", get<of_record<&LeaseRecord::created_usec>>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END,
};

// Null: the path is no lease's that this connection has.
const LeaseView* lease_at(const Session& session, const char* path) {
    const auto lease = lease_id_of(path);
    return lease ? session.replica.lease(*lease) : nullptr;
}

int find_lease(sd_bus*, const char* path, const char*, void* userdata, void** found, sd_bus_error*) noexcept {
    Session& session = *static_cast<Session*>(userdata);
    try {
        const LeaseView* const view = lease_at(session, path);
        *found = const_cast<LeaseView*>(view);  // getters only read
        return view == nullptr ? 0 : 1;
    } catch (...) {
        session.failure.keep(std::current_exception());
        return -ECANCELED;
    }
}

Result<void> is_lease(Session& session, sd_bus_message* call) {
    const char* const path = sd_bus_message_get_path(call);
    return path == std::string_view(lease_prefix) || lease_at(session, path) != nullptr
               ? Result<void>()
               : fail(ErrorCode::no_such_lease, "this connection has no lease " + in_quotes(path));
}

int list_leases(sd_bus*, const char*, void* userdata, char*** nodes, sd_bus_error*) noexcept {
    Session& session = *static_cast<Session*>(userdata);
    return list_nodes(
        session.replica.leases(), [](const auto& entry) { return lease_path(entry.first); }, nodes, session.failure);
}

}  // namespace

void add_leases(sd_bus* bus, Session& session) {
    must(sd_bus_add_fallback(bus, nullptr, lease_prefix, refuse_absent<is_lease>, &session), "refuse other leases");
    must(sd_bus_add_fallback_vtable(bus, nullptr, lease_prefix, lease_interface, vtable, find_lease, &session),
         "add the leases");
    must(sd_bus_add_node_enumerator(bus, nullptr, lease_prefix, list_leases, &session), "add the leases' paths");
}

}  // namespace iommud::worker
