#include "daemon/monitor/dispatch.hpp"

#include <array>

#include "daemon/monitor/answers.hpp"
#include "daemon/monitor/connection.hpp"
#include "daemon/monitor/monitor.hpp"

namespace iommud::monitor {
namespace {

enum class Who { clients, admins };  // admins: only what came through the admin socket (I2)

struct Entry {
    ipc::MessageType type;
    Who who;
    bool on_system_bus;  // where the worker, not the kernel, vouches for who asks
    bool (*answer)(Monitor&, Connection&, const ipc::Packet&);  // false: not well-formed
};

template <class Message, void (*Answer)(Monitor&, Connection&, const Message&)>
bool decoded(Monitor& monitor, Connection& connection, const ipc::Packet& packet) {
    const std::optional<Message> message = ipc::decode<Message>(packet.bytes);
    if (message && connection.who().too_many_groups()) {
        connection.fail_request(message->cookie, {ErrorCode::access_denied, connection.who().groups_refusal()});
    } else if (message) {
        Answer(monitor, connection, *message);
    }
    return message.has_value();
}

constexpr std::array<Entry, 10> table{{
    {ipc::MessageType::acquire_request, Who::clients, true, decoded<ipc::AcquireRequest, answer_acquire>},
    {ipc::MessageType::add_request, Who::clients, true, decoded<ipc::AddRequest, answer_add>},
    {ipc::MessageType::explain_request, Who::clients, true, decoded<ipc::ExplainRequest, answer_explain>},
    {ipc::MessageType::accounts_request, Who::clients, true, decoded<ipc::AccountsRequest, answer_accounts>},
    {ipc::MessageType::release_request, Who::clients, true, decoded<ipc::ReleaseRequest, answer_release>},
    {ipc::MessageType::revoke_request, Who::admins, false, decoded<ipc::RevokeRequest, answer_revoke>},
    {ipc::MessageType::reload_request, Who::admins, false, decoded<ipc::ReloadRequest, answer_reload>},
    {ipc::MessageType::policy_request, Who::admins, false, decoded<ipc::PolicyRequest, answer_policy>},
    {ipc::MessageType::open_endpoint_request, Who::admins, false,
     decoded<ipc::OpenEndpointRequest, answer_open_endpoint>},
    {ipc::MessageType::close_endpoint_request, Who::admins, false,
     decoded<ipc::CloseEndpointRequest, answer_close_endpoint>},
}};

// Of the one worker that was started for the system bus; what it says of somebody is taken for uid and groups alone.
const char* dispatch_vouched(Monitor& monitor, Connection& connection, const ipc::Packet& packet) {
    if (connection.kind() != ConnectionKind::system_bus || connection.vouched()) {
        return "vouched for somebody, which only the system bus's worker may";
    }
    std::optional<ipc::VouchedRequest> vouched = ipc::decode<ipc::VouchedRequest>(packet.bytes);
    if (!vouched || vouched->uid == static_cast<uid_t>(-1)) {
        return "sent a malformed frame";
    }
    if (!monitor.policy().current().bus_acquire) {
        connection.fail_request(vouched->cookie, {ErrorCode::access_denied, "policy gives nothing on the system bus"});
        return nullptr;
    }
    Identity who;
    who.uid = vouched->uid;
    who.take_groups(std::move(vouched->groups));
    const auto asker = std::make_shared<Connection>(monitor, connection, std::move(who));
    ipc::Packet request;
    request.bytes = std::move(vouched->request);
    return dispatch(monitor, *asker, request);
}

}  // namespace

const char* dispatch(Monitor& monitor, Connection& connection, const ipc::Packet& packet) {
    const std::uint32_t type = ipc::frame_type(packet.bytes);
    if (type == static_cast<std::uint32_t>(ipc::MessageType::vouched_request)) {
        return dispatch_vouched(monitor, connection, packet);
    }
    if (connection.kind() == ConnectionKind::system_bus && !connection.vouched()) {
        return "sent a request from the system bus and vouched for nobody";
    }
    for (const Entry& entry : table) {
        if (static_cast<std::uint32_t>(entry.type) != type) {
            continue;
        }
        if (entry.who == Who::admins && !connection.admin()) {
            return "sent an administrator's request from a client's connection";
        }
        if (connection.vouched() && !entry.on_system_bus) {
            return "sent a request that is not open on the system bus";
        }
        return entry.answer(monitor, connection, packet) ? nullptr : "sent a malformed frame";
    }
    return "sent a frame of an unknown type";
}

}  // namespace iommud::monitor
