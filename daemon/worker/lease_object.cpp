// /org/iommud1/lease/<id>: org.iommud1.Lease.
#include "daemon/worker/arguments.hpp"
#include "daemon/worker/names.hpp"
#include "daemon/worker/paths.hpp"
#include "daemon/worker/replies.hpp"
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
    auto devices = read_addresses(call);
    if (!devices) {
        return tl::unexpected(devices.error());
    }
    if (auto options = read_options(call).and_then(parse_no_options); !options) {
        return options;
    }
    if (auto carried = check_carries_fds(call, session.kind, devices->size()); !carried) {
        return carried;
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
    SD_BUS_PROPERTY("MemoryMapped", "t", get<mapped>, 0, 0),
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

// ---- the system bus: sd-bus would answer by a vtable before anybody can say who asks

void append_property(sd_bus_message* reply, const sd_bus_vtable& property, const LeaseView& view) {
    sd_bus_error unused = SD_BUS_ERROR_NULL;
    const auto& of = property.x.property;
    must(sd_bus_message_open_container(reply, 'v', of.signature), "open a variant");
    must(of.get(sd_bus_message_get_bus(reply), "", lease_interface, of.member, reply, const_cast<LeaseView*>(&view),
                &unused),
         "append a property");
    must(sd_bus_message_close_container(reply), "close a variant");
}

bool is_property(const sd_bus_vtable& entry) {
    return entry.type == _SD_BUS_VTABLE_PROPERTY;
}

MessagePtr all_properties(sd_bus_message* call, const LeaseView& view) {
    MessagePtr reply = empty_reply(call);
    must(sd_bus_message_open_container(reply.get(), 'a', "{sv}"), "open the properties");
    for (const sd_bus_vtable& entry : vtable) {
        if (is_property(entry)) {
            must(sd_bus_message_open_container(reply.get(), 'e', "sv"), "open an entry");
            must(append(reply.get(), entry.x.property.member), "append a name");
            append_property(reply.get(), entry, view);
            must(sd_bus_message_close_container(reply.get()), "close an entry");
        }
    }
    must(sd_bus_message_close_container(reply.get()), "close the properties");
    return reply;
}

Result<MessagePtr> one_property(sd_bus_message* call, const LeaseView& view, const std::string& name) {
    for (const sd_bus_vtable& entry : vtable) {
        if (is_property(entry) && name == entry.x.property.member) {
            MessagePtr reply = empty_reply(call);
            append_property(reply.get(), entry, view);
            return reply;
        }
    }
    return fail(ErrorCode::invalid_argument, "a lease has no property " + in_quotes(name));
}

// Get, with a name, or GetAll.
Result<void> get_properties(Session& session, sd_bus_message* call) {
    const auto lease = lease_of(call);
    const auto interface = read_string(call, SD_BUS_TYPE_STRING);
    if (!lease || !interface || *interface != lease_interface) {
        return fail(ErrorCode::invalid_argument, std::string("a lease has the properties of ") + lease_interface);
    }
    const bool all = std::string_view(sd_bus_message_get_member(call)) == "GetAll";
    const auto name = all ? Result<std::string>("") : read_string(call, SD_BUS_TYPE_STRING);
    if (!name) {
        return tl::unexpected(name.error());
    }
    return session.requests.answer_whom(
        call,
        [&replica = session.replica, id = *lease, all, name = *name](sd_bus_message* asked,
                                                                     std::uint32_t uid) -> Result<MessagePtr> {
            const LeaseView* const view = replica.lease(id);
            if (view == nullptr || view->record.holder_uid != uid) {
                return fail(ErrorCode::no_such_lease, "uid " + std::to_string(uid) + " has no such lease here");
            }
            return all ? all_properties(asked, *view) : one_property(asked, *view, name);
        });
}

struct BusCall {
    const char* interface;
    const char* member;
    const char* signature;
    Result<void> (*handle)(Session& session, sd_bus_message* call);
};
constexpr const char* properties_interface = "org.freedesktop.DBus.Properties";
constexpr BusCall bus_calls[] = {{lease_interface, "Release", "a{sv}", release},
                                 {lease_interface, "Add", "asa{sv}", add},
                                 {properties_interface, "Get", "ss", get_properties},
                                 {properties_interface, "GetAll", "s", get_properties}};

const BusCall* find_bus_call(sd_bus_message* call) {
    for (const BusCall& known : bus_calls) {
        if (sd_bus_message_is_method_call(call, known.interface, known.member) > 0) {
            return &known;
        }
    }
    return nullptr;
}

Result<void> handle_bus_call(Session& session, sd_bus_message* call) {
    const BusCall& known = *find_bus_call(call);
    if (sd_bus_message_has_signature(call, known.signature) <= 0) {
        return fail(ErrorCode::invalid_argument,
                    std::string(known.member) + " takes arguments of type " + known.signature);
    }
    return known.handle(session, call);
}

int on_bus_call(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept {
    return find_bus_call(call) == nullptr ? 0 : answer<handle_bus_call>(*static_cast<Session*>(userdata), call, error);
}

}  // namespace

void add_bus_leases(sd_bus* bus, Session& session) {
    must(sd_bus_add_fallback(bus, nullptr, lease_prefix, on_bus_call, &session), "add the leases of the bus");
}

void add_leases(sd_bus* bus, Session& session) {
    must(sd_bus_add_fallback(bus, nullptr, lease_prefix, refuse_absent<is_lease>, &session), "refuse other leases");
    must(sd_bus_add_fallback_vtable(bus, nullptr, lease_prefix, lease_interface, vtable, find_lease, &session),
         "add the leases");
    must(sd_bus_add_node_enumerator(bus, nullptr, lease_prefix, list_leases, &session), "add the leases' paths");
}

}  // namespace iommud::worker
