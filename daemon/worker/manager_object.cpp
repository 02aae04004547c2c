// /org/iommud1: org.iommud1.Manager.
#include <algorithm>
#include <iterator>

#include "daemon/worker/arguments.hpp"
#include "daemon/worker/endpoint_arguments.hpp"
#include "daemon/worker/names.hpp"
#include "daemon/worker/session.hpp"

namespace iommud::worker {
namespace {

using ipc::ManagerView;

// On the system bus this worker, and not the kernel, vouches for who asks (hazard C12): policy has to say that it may.
Result<void> refuse_on_system_bus(const Session& session, const char* method) {
    const std::vector<std::string>& features = session.replica.manager().features;
    if (session.kind != ConnectionKind::system_bus ||
        std::find(features.begin(), features.end(), bus_feature) != features.end()) {
        return {};
    }
    return fail(ErrorCode::access_denied, std::string(method) +
                                              " is not for the system bus; connect to unix:path=/run/iommud/bus, or as "
                                              "an administrator to unix:path=/run/iommud/admin/bus");
}

Result<void> acquire(Session& session, sd_bus_message* call) {
    if (auto refused = refuse_on_system_bus(session, "Acquire"); !refused) {
        return refused;
    }
    auto devices = read_addresses(call);
    if (!devices) {
        return tl::unexpected(devices.error());
    }
    if (auto carried = check_carries_fds(call, session.kind, devices->size() + 1); !carried) {
        return carried;
    }
    const auto options = read_options(call).and_then(parse_acquire_options);
    if (!options) {
        return tl::unexpected(options.error());
    }
    ipc::AcquireRequest request{.cookie = 0,
                                .devices = *devices,
                                .mode = options->mode,
                                .memory = options->memory,
                                .label = options->label,
                                .vf_token = options->vf_token};
    return session.requests.begin(call, RequestKind::acquire, std::move(request), std::move(*devices));
}

Result<void> explain(Session& session, sd_bus_message* call) {
    if (auto refused = refuse_on_system_bus(session, "Explain"); !refused) {
        return refused;
    }
    auto user = read_options(call).and_then(parse_subject);
    if (!user) {
        return tl::unexpected(user.error());
    }
    auto devices = read_addresses(call);
    if (!devices) {
        return tl::unexpected(devices.error());
    }
    const auto options = read_options(call).and_then(parse_explain_options);
    if (!options) {
        return tl::unexpected(options.error());
    }
    ipc::ExplainRequest request{.cookie = 0,
                                .user = std::move(*user),
                                .devices = std::move(*devices),
                                .mode = options->mode,
                                .memory = options->memory};
    return session.requests.explain(call, std::move(request));
}

Result<void> get_accounts(Session& session, sd_bus_message* call) {
    if (auto refused = refuse_on_system_bus(session, "GetAccounts"); !refused) {
        return refused;
    }
    if (auto options = read_options(call).and_then(parse_no_options); !options) {
        return options;
    }
    return session.requests.begin(call, RequestKind::accounts, ipc::AccountsRequest{});
}

Result<void> revoke(Session& session, sd_bus_message* call) {
    const auto path = read_string(call, SD_BUS_TYPE_OBJECT_PATH);
    if (!path) {
        return tl::unexpected(path.error());
    }
    const auto lease = lease_id_of(*path);
    if (!lease) {
        return fail(ErrorCode::no_such_lease, *path + " is no lease");
    }
    const auto grace = read_number(call);
    if (!grace) {
        return tl::unexpected(grace.error());
    }
    auto reason = read_string(call, SD_BUS_TYPE_STRING);
    if (!reason) {
        return tl::unexpected(reason.error());
    }
    if (auto checked = check_text("the reason", *reason, longest_text); !checked) {
        return checked;
    }
    if (auto options = read_options(call).and_then(parse_no_options); !options) {
        return options;
    }
    ipc::RevokeRequest request{.cookie = 0, .lease = *lease, .grace_usec = *grace, .reason = std::move(*reason)};
    return session.requests.begin(call, RequestKind::revoke, std::move(request));
}

Result<void> reload(Session& session, sd_bus_message* call) {
    if (auto options = read_options(call).and_then(parse_no_options); !options) {
        return options;
    }
    return session.requests.begin(call, RequestKind::reload, ipc::ReloadRequest{});
}

Result<void> get_policy(Session& session, sd_bus_message* call) {
    if (auto options = read_options(call).and_then(parse_no_options); !options) {
        return options;
    }
    return session.requests.begin(call, RequestKind::policy, ipc::PolicyRequest{});
}

Result<void> open_endpoint(Session& session, sd_bus_message* call) {
    auto request = read_open_endpoint(call);
    if (!request) {
        return tl::unexpected(request.error());
    }
    return session.requests.begin(call, RequestKind::open_endpoint, std::move(*request));
}

Result<void> close_endpoint(Session& session, sd_bus_message* call) {
    auto request = read_close_endpoint(call);
    if (!request) {
        return tl::unexpected(request.error());
    }
    return session.requests.begin(call, RequestKind::close_endpoint, std::move(*request));
}

template <auto Handler>
int method(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept {
    return answer<Handler>(*static_cast<Session*>(userdata), call, error);
}

template <auto Member>
int manager_property(sd_bus* bus, const char* path, const char* interface, const char* name, sd_bus_message* reply,
                     void* userdata, sd_bus_error* error) noexcept {
    constexpr auto get = [](const ManagerView& view) { return view.*Member; };
    // The replica's manager is one object for the worker's life; the session is what sd-bus hands on.
    const ManagerView& view = static_cast<const Session*>(userdata)->replica.manager();
    return property<ManagerView, get>(bus, path, interface, name, reply, const_cast<ManagerView*>(&view), error);
}

int kernel_property(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* userdata,
                    sd_bus_error*) noexcept {
    return append(reply, name_of(static_cast<const Session*>(userdata)->replica.manager().kernel));
}

const sd_bus_vtable start[] = {SD_BUS_VTABLE_START(0)};
const sd_bus_vtable methods[] = {
    SD_BUS_METHOD_WITH_ARGS("Acquire", SD_BUS_ARGS("as", devices, "a{sv}", options),
                            SD_BUS_RESULT("o", lease, "a(sh)", fds, "a{sv}", info), method<acquire>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("a{sv}", subject, "as", devices, "a{sv}", options),
                            SD_BUS_RESULT("b", allowed, "s", decision, "aa{sv}", trace), method<explain>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetAccounts", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", accounts),
                            method<get_accounts>, SD_BUS_VTABLE_UNPRIVILEGED),
};
// On the administrators' socket only: elsewhere these methods do not exist (I2).
const sd_bus_vtable admin_methods[] = {
    SD_BUS_METHOD_WITH_ARGS("Revoke", SD_BUS_ARGS("o", lease, "t", grace_usec, "s", reason, "a{sv}", options),
                            SD_BUS_NO_RESULT, method<revoke>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method<reload>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetPolicy", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", entries),
                            method<get_policy>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("OpenEndpoint", SD_BUS_ARGS("s", id, "a{sv}", options), SD_BUS_RESULT("s", path),
                            method<open_endpoint>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("CloseEndpoint", SD_BUS_ARGS("s", id, "a{sv}", options), SD_BUS_NO_RESULT,
                            method<close_endpoint>, SD_BUS_VTABLE_UNPRIVILEGED),
};
const sd_bus_vtable properties[] = {
    SD_BUS_PROPERTY("Version", "s", manager_property<&ManagerView::version>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("KernelInterface", "s", kernel_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Features", "as", manager_property<&ManagerView::features>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("PolicyGeneration", "t", manager_property<&ManagerView::policy_generation>, 0,
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Degraded", "as", manager_property<&ManagerView::degraded>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_VTABLE_END,
};

// For the life of the process: sd-bus keeps a pointer to it.
const sd_bus_vtable* manager_vtable(ConnectionKind kind) {
    static std::vector<sd_bus_vtable> vtable;
    vtable.assign(std::begin(start), std::end(start));
    vtable.insert(vtable.end(), std::begin(methods), std::end(methods));
    if (kind == ConnectionKind::admin) {
        vtable.insert(vtable.end(), std::begin(admin_methods), std::end(admin_methods));
    }
    vtable.insert(vtable.end(), std::begin(properties), std::end(properties));
    return vtable.data();
}

// sd-bus would open /etc/machine-id, which is no client's business and not on the system call list.
int refuse_machine_id(sd_bus_message* call, void*, sd_bus_error*) noexcept {
    if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus.Peer", "GetMachineId") <= 0) {
        return 0;
    }
    const int result = sd_bus_reply_method_errorf(call, SD_BUS_ERROR_NOT_SUPPORTED, "the machine's id is not told");
    return hung_up(result) ? 1 : result;
}

}  // namespace

void add_manager(sd_bus* bus, Session& session) {
    must(sd_bus_add_filter(bus, nullptr, refuse_machine_id, nullptr), "add a filter");
    must(
        sd_bus_add_object_vtable(bus, nullptr, manager_path, manager_interface, manager_vtable(session.kind), &session),
        "add the manager");
    must(sd_bus_add_object_manager(bus, nullptr, manager_path), "add the object manager");
}

}  // namespace iommud::worker
