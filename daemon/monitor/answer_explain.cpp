// Explain: the decision that Acquire would take, and each rule's part in it. For oneself; for anyone on the admin
// socket.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/device_request.hpp"
#include "daemon/monitor/direct_mode.hpp"
#include "daemon/monitor/monitor.hpp"
#include "daemon/monitor/pages.hpp"

namespace iommud::monitor {
namespace {

Result<policy::Subject> subject_asked(Monitor& monitor, const Connection& connection,
                                      const std::optional<std::string>& user) {
    if (!user) {
        return subject_of(connection);
    }
    if (!connection.admin()) {
        return fail(ErrorCode::access_denied, "only an administrator may ask about somebody else");
    }
    std::optional<policy::Subject> subject = subject_named(monitor.policy().current(), *user);
    if (!subject) {
        return fail(ErrorCode::invalid_argument, fmt::format("no user \"{}\" in /etc/passwd, nor a uid", *user));
    }
    return *subject;
}

// Of policy, of the devices and of who asks, which is settled at connect, and of nothing else. That a serial number is
// known now is announced by nobody.
bool lasting(const Monitor& monitor, const Connection& connection, const ipc::ExplainRequest& request) {
    return !request.user && request.mode == Mode::managed && connection.kind() != ConnectionKind::system_bus &&
           !monitor.policy().current().by_serial;
}

// What keeps Acquire from giving what policy allows, until an administrator has done something; empty: nothing.
// `no_reset_allowed`: the devices that may go without a reset.
std::string not_now(const Monitor& monitor, const std::vector<PciAddress>& devices,
                    const std::vector<PciAddress>& no_reset_allowed) {
    for (const PciAddress& address : devices) {
        const Device* device = monitor.inventory().find(address);
        if (device == nullptr) {
            continue;
        }
        const Standing standing = monitor.standing_of(*device);
        if (cannot_be_leased(standing.state)) {
            return "; but " + refusal(*device, standing).message;
        }
        const auto has = [device](std::string_view begin) {
            return std::any_of(device->capabilities.begin(), device->capabilities.end(),
                               [begin](const std::string& one) { return one.starts_with(begin); });
        };
        if (!has("reset") &&
            std::find(no_reset_allowed.begin(), no_reset_allowed.end(), address) == no_reset_allowed.end()) {
            return fmt::format("; but somebody else had {} last, and {}", address.text(),
                               has("bus_reset") ? "it is reset only with all that is on its bus, when a lease begins "
                                                  "with all of that"
                                                : "it has no reset");
        }
    }
    return {};
}

void send_trace(const Monitor& monitor, Connection& connection, const ipc::ExplainRequest& request,
                policy::Decision decision) {
    const bool holds = lasting(monitor, connection, request);
    if (holds) {
        connection.remember_answer();
    }
    Pages<ipc::ExplainEntries, &ipc::ExplainEntries::trace> pages(connection, {.cookie = request.cookie,
                                                                               .last = false,
                                                                               .lasting = holds,
                                                                               .allowed = decision.allowed,
                                                                               .decision = decision.message,
                                                                               .trace = {}});
    for (std::size_t i = 0; i < decision.trace.size(); ++i) {
        if (!pages.add(std::move(decision.trace[i]).texts())) {
            policy::TraceEntry more;
            more.why = fmt::format("and {} more", decision.trace.size() - i);
            pages.add_last(std::move(more).texts());
            break;
        }
    }
    pages.finish();
}

}  // namespace

void answer_explain(Monitor& monitor, Connection& connection, const ipc::ExplainRequest& request) {
    const Result<policy::Subject> subject = subject_asked(monitor, connection, request.user);
    if (!subject) {
        connection.fail_request(request.cookie, subject.error());
        return;
    }
    const auto memory = within_endpoint(connection.via().get(), request.devices, request.memory);
    if (!memory) {
        connection.fail_request(request.cookie, memory.error());
        return;
    }
    const Result<policy::Request> asked = device_request(monitor, request.devices, request.mode, *memory);
    if (!asked) {
        connection.fail_request(request.cookie, asked.error());
        return;
    }
    policy::Decision decision = policy::explain(monitor.policy().current(), *subject, *asked,
                                                connection.admin() ? policy::TraceScope::all : policy::TraceScope::own);
    if (decision.allowed) {
        Result<void> given = mode_given(monitor, request.mode);
        if (given) {
            given = memory_is_safe(monitor, request.mode, decision.allow_uncleared_memory);
        }
        if (given && !request.user) {
            given = caller_fits(connection, request.mode);  // nobody else's process is there to look at
        }
        if (!given) {
            // The rules' parts are said all the same: they are what an administrator writes.
            decision.allowed = false;
            decision.message = given.error().message;
        }
    }
    if (decision.allowed) {
        monitor.refresh_host();
        const std::string endpoint = request.user ? std::string() : connection.endpoint();
        decision.message += not_now(
            monitor, request.devices,
            monitor.tenants().no_reset_allowed(request.devices, subject->uid, endpoint, decision.allow_no_reset));
    }
    send_trace(monitor, connection, request, std::move(decision));
}

}  // namespace iommud::monitor
