#include "client/iommuctl/daemon_calls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

namespace iommud::ctl {
namespace {

using lib::Bus;
using lib::manager_interface;
using lib::manager_path;
using lib::Message;
using lib::message_failed;

constexpr const char* device_interface = "org.iommud1.Device";
constexpr const char* lease_interface = "org.iommud1.Lease";

std::string lease_path(std::uint64_t lease) {
    return fmt::format("/org/iommud1/lease/{}", lease);
}

// Asks, and reads the answer's first value.
Outcome<json> ask(const Bus& bus, const Outcome<Message>& call) {
    if (!call) {
        return tl::unexpected(call.error());
    }
    const auto reply = bus.call(*call);
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    return read_value(reply->get());
}

Outcome<json> properties(const Bus& bus, const char* path, const char* interface) {
    const auto call = bus.new_call(path, "org.freedesktop.DBus.Properties", "GetAll");
    if (call) {
        if (const int result = sd_bus_message_append(call->get(), "s", interface); result < 0) {
            return message_failed("ask for properties", result);
        }
    }
    return ask(bus, call);
}

// Properties of an object that may not be there: `missing` says so.
Outcome<json> properties_or(const Bus& bus, const char* path, const char* interface, int code, std::string missing) {
    auto answer = properties(bus, path, interface);
    if (!answer && (answer.error().name == "org.freedesktop.DBus.Error.UnknownObject" ||
                    answer.error().name == "org.freedesktop.DBus.Error.UnknownInterface" ||
                    answer.error().name == "org.freedesktop.DBus.Error.UnknownMethod")) {
        return lib::failed(code, std::move(missing));
    }
    return answer;
}

Outcome<Message> with_no_options(Outcome<Message> call) {
    if (call) {
        if (const int result = sd_bus_message_append(call->get(), "a{sv}", 0); result < 0) {
            return message_failed("ask the daemon", result);
        }
    }
    return call;
}

int append_request(sd_bus_message* message, const PolicyExplain& request) {
    const bool somebody = !request.user.empty();
    int result = somebody ? sd_bus_message_append(message, "a{sv}", 1, "user", "s", request.user.c_str())
                          : sd_bus_message_append(message, "a{sv}", 0);
    if (result < 0 || (result = sd_bus_message_open_container(message, 'a', "s")) < 0) {
        return result;
    }
    for (const std::string& device : request.devices) {
        if ((result = sd_bus_message_append_basic(message, 's', device.c_str())) < 0) {
            return result;
        }
    }
    if ((result = sd_bus_message_close_container(message)) < 0 ||
        (result = sd_bus_message_open_container(message, 'a', "{sv}")) < 0) {
        return result;
    }
    if (!request.mode.empty()) {
        result = sd_bus_message_append(message, "{sv}", "mode", "s", request.mode.c_str());
    }
    if (result >= 0 && request.memory != 0) {
        result = sd_bus_message_append(message, "{sv}", "memory", "t", request.memory);
    }
    return result < 0 ? result : sd_bus_message_close_container(message);
}

void sort_by(json& objects, const char* key) {
    std::sort(objects.begin(), objects.end(),
              [key](const json& a, const json& b) { return a.value(key, json()) < b.value(key, json()); });
}

}  // namespace

Outcome<Bus> connect(const Settings& settings) {
    return Bus::connect(settings.address.empty() ? lib::default_address() : settings.address);
}

Outcome<json> manager_properties(const Bus& bus) {
    return properties(bus, manager_path, manager_interface);
}

Outcome<json> device_properties(const Bus& bus, const std::string& address) {
    char* encoded = nullptr;
    if (const int result = sd_bus_path_encode("/org/iommud1/device", address.c_str(), &encoded); result < 0) {
        return message_failed("name a device", result);
    }
    const std::unique_ptr<char, decltype(&std::free)> path(encoded, &std::free);
    return properties_or(bus, path.get(), device_interface, IOMMUD_ERROR_NO_SUCH_DEVICE,
                         fmt::format("the daemon knows no device {}", address));
}

Outcome<json> lease_properties(const Bus& bus, std::uint64_t lease) {
    return properties_or(bus, lease_path(lease).c_str(), lease_interface, IOMMUD_ERROR_NO_SUCH_LEASE,
                         fmt::format("there is no lease {} that you may see", lease));
}

Outcome<json> all_objects(const Bus& bus) {
    auto answer = ask(bus, bus.new_call(manager_path, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"));
    if (!answer) {
        return answer;
    }
    json objects = {{"devices", json::array()}, {"leases", json::array()}};
    for (const json& interfaces : *answer) {
        if (interfaces.contains(device_interface)) {
            objects["devices"].push_back(interfaces[device_interface]);
        }
        if (interfaces.contains(lease_interface)) {
            objects["leases"].push_back(interfaces[lease_interface]);
        }
    }
    sort_by(objects["devices"], "Address");
    sort_by(objects["leases"], "Id");
    return objects;
}

Outcome<json> all_objects(const Settings& settings) {
    const auto bus = connect(settings);
    if (!bus) {
        return tl::unexpected(bus.error());
    }
    return all_objects(*bus);
}

Outcome<json> accounts(const Bus& bus) {
    auto answer = ask(bus, with_no_options(bus.new_call(manager_path, manager_interface, "GetAccounts")));
    if (answer) {
        sort_by(*answer, "Uid");
    }
    return answer;
}

Outcome<json> explain(const Bus& bus, const PolicyExplain& request) {
    const auto call = bus.new_call(manager_path, manager_interface, "Explain");
    if (!call) {
        return tl::unexpected(call.error());
    }
    if (const int result = append_request(call->get(), request); result < 0) {
        return message_failed("ask about the policy", result);
    }
    const auto reply = bus.call(*call);
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    json answer;
    for (const char* key : {"Allowed", "Decision", "Trace"}) {
        auto value = read_value(reply->get());
        if (!value) {
            return value;
        }
        answer[key] = std::move(*value);
    }
    return answer;
}

Outcome<json> policy_in_force(const Bus& bus) {
    auto answer = ask(bus, with_no_options(bus.new_call(manager_path, manager_interface, "GetPolicy")));
    if (!answer && answer.error().name == "org.freedesktop.DBus.Error.UnknownMethod") {
        answer.error().message = "the policy is shown to administrators only; iommuctl policy explain shows your part";
    }
    return answer;
}

Outcome<void> revoke(const Bus& bus, const LeaseRevoke& request) {
    const auto call = bus.new_call(manager_path, manager_interface, "Revoke");
    if (!call) {
        return tl::unexpected(call.error());
    }
    const std::chrono::seconds grace(request.grace_seconds);
    const auto grace_usec = static_cast<std::uint64_t>(std::chrono::microseconds(grace).count());
    const int result = sd_bus_message_append(call->get(), "otsa{sv}", lease_path(request.lease).c_str(), grace_usec,
                                             request.reason.c_str(), 0);
    if (result < 0) {
        return message_failed("revoke a lease", result);
    }
    return bus.call(*call, grace + lib::call_timeout).map([](const Message&) {});
}

Outcome<void> reload(const Bus& bus) {
    const auto call = with_no_options(bus.new_call(manager_path, manager_interface, "Reload"));
    if (!call) {
        return tl::unexpected(call.error());
    }
    return bus.call(*call).map([](const Message&) {});
}

}  // namespace iommud::ctl
