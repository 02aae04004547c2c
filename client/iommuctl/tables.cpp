#include "client/iommuctl/tables.hpp"

#include <fmt/format.h>
#include <pwd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <ctime>
#include <vector>

namespace iommud::ctl {
namespace {

constexpr const char* simulated = "simulated";

// "alice" for a uid that has a name, else the uid.
std::string user_of(const json& object, const char* key) {
    std::string uid = number_of(object, key);
    std::uint32_t number = 0;
    if (std::from_chars(uid.data(), uid.data() + uid.size(), number).ec != std::errc{}) {
        return uid;
    }
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> strings{};
    const int error = ::getpwuid_r(number, &entry, strings.data(), strings.size(), &found);
    return error == 0 && found != nullptr ? found->pw_name : uid;
}

std::string hex_of(const json& object, const char* key, int digits) {
    const std::string text = number_of(object, key);
    std::uint32_t number = 0;
    const bool read = std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc{};
    return read ? fmt::format("{:0{}x}", number, digits) : "";
}

// "17" for "/org/iommud1/lease/17"; "" for "/", which is none.
std::string lease_of(const json& device) {
    const std::string path = text_of(device, "Lease");
    return path.substr(path.rfind('/') + 1);
}

std::string not_negative(const json& object, const char* key) {
    const std::string number = number_of(object, key);
    return number.starts_with('-') ? "" : number;
}

std::string time_of(const json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number_unsigned()) {
        return "";
    }
    const auto seconds = static_cast<std::time_t>(found->get<std::uint64_t>() / 1000000);
    std::tm local{};
    std::array<char, 64> text{};
    const bool written =
        ::localtime_r(&seconds, &local) != nullptr && std::strftime(text.data(), text.size(), "%F %T", &local) != 0;
    return written ? text.data() : "";
}

std::string out_of(const json& object, const char* used, const char* limit) {
    return fmt::format("{} of {}", number_of(object, used), number_of(object, limit));
}

std::string id_of(const json& device) {
    return hex_of(device, "VendorId", 4) + ':' + hex_of(device, "DeviceId", 4);
}

std::string state_of(const json& device) {
    const std::string reason = text_of(device, "StateReason");
    return text_of(device, "State") + (reason.empty() ? "" : ": " + reason);
}

bool flag_of(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_boolean() && found->get<bool>();
}

// In mode direct nobody but the kernel knows what a program asked for in vain.
std::string limit_of(const json& lease) {
    const std::string reserved = size_of(lease, "MemoryReserved");
    return text_of(lease, "Mode") != "direct"
               ? reserved
               : reserved +
                     ": a map of more fails with ENOMEM, by the RLIMIT_MEMLOCK of its program, which is the sum of "
                     "the user's leases of mode direct";
}

std::string counts_of(const json& counts) {
    std::string text;
    for (const auto& [state, count] : counts.items()) {
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count.dump(), state);
    }
    return text.empty() ? "none" : text;
}

}  // namespace

json status_of(const json& manager, const json& objects, const std::string& address) {
    json status = manager;
    status["Address"] = address;
    status["Simulated"] = text_of(manager, "KernelInterface") == simulated;
    status["Leases"] = objects.at("leases").size();
    status["Devices"] = json::object();
    for (const json& device : objects.at("devices")) {
        json& count = status["Devices"][text_of(device, "State")];
        count = count.is_null() ? 1U : count.get<unsigned>() + 1;
    }
    return status;
}

std::string status_text(const json& status, const Style& style) {
    std::string text;
    if (flag_of(status, "Simulated")) {
        text += loud("SIMULATED KERNEL: there is no device behind any lease, no DMA, and no protection", style) + '\n';
    }
    for (const json& reason : status.value("Degraded", json::array())) {
        text += loud("DEGRADED", style) + ": " + printable(reason.is_string() ? reason.get<std::string>() : "") + '\n';
    }
    return text + details({{"Daemon", "iommud " + text_of(status, "Version")},
                           {"Address", text_of(status, "Address")},
                           {"Kernel interface", text_of(status, "KernelInterface")},
                           {"Features", list_of(status, "Features")},
                           {"Policy", "generation " + number_of(status, "PolicyGeneration")},
                           {"Devices", counts_of(status.value("Devices", json::object()))},
                           {"Leases", number_of(status, "Leases")}});
}

std::string devices_text(const json& devices, const Style& style) {
    Table table(
        {{"ADDRESS"}, {"ID"}, {"GROUP", Align::right}, {"DRIVER"}, {"STATE"}, {"LEASE", Align::right}, {"NAME"}},
        "no devices");
    for (const json& device : devices) {
        table.add({text_of(device, "Address"), id_of(device), not_negative(device, "IommuGroup"),
                   text_of(device, "Driver"), text_of(device, "State"), lease_of(device), text_of(device, "Name")});
    }
    std::string text = table.text(style);
    for (const json& device : devices) {
        const std::string state = text_of(device, "State");
        if (state == "unsafe" || state == "blocked") {
            text += fmt::format("{} is {}\n", text_of(device, "Address"), state_of(device));
        }
    }
    return text;
}

std::string device_text(const json& device) {
    return details({{"Address", text_of(device, "Address")},
                    {"Name", text_of(device, "Name")},
                    {"ID", id_of(device)},
                    {"Class", hex_of(device, "Class", 6)},
                    {"IOMMU group", not_negative(device, "IommuGroup")},
                    {"NUMA node", not_negative(device, "NumaNode")},
                    {"Path", text_of(device, "Path")},
                    {"Slot", text_of(device, "Slot")},
                    {"Driver", text_of(device, "Driver")},
                    {"State", state_of(device)},
                    {"Lease", lease_of(device)},
                    {"Capabilities", list_of(device, "Capabilities")},
                    {"Tainted", flag_of(device, "Tainted") ? "yes: was out unbound, wants a rebind" : "no"}});
}

std::string leases_text(const json& leases, const Style& style) {
    Table table({{"LEASE", Align::right},
                 {"ACCOUNT"},
                 {"HOLDER"},
                 {"PID", Align::right},
                 {"MODE"},
                 {"STATE"},
                 {"MAPPED", Align::right},
                 {"RESERVED", Align::right},
                 {"DEVICES"},
                 {"LABEL"}},
                "no leases");
    for (const json& lease : leases) {
        table.add({number_of(lease, "Id"), user_of(lease, "Account"), user_of(lease, "Holder"),
                   number_of(lease, "HolderPid"), text_of(lease, "Mode"), text_of(lease, "State"),
                   size_of(lease, "MemoryMapped"), size_of(lease, "MemoryReserved"), list_of(lease, "Devices"),
                   text_of(lease, "Label")});
    }
    std::string text = table.text(style);
    const auto direct = [](const json& lease) { return text_of(lease, "Mode") == "direct"; };
    if (style.legend && std::any_of(leases.begin(), leases.end(), direct)) {
        text +=
            "Mode direct: the program maps by itself; the kernel refuses it more than its user has RESERVED in leases "
            "of "
            "this mode (ENOMEM).\n";
    }
    return text;
}

std::string lease_text(const json& lease) {
    return details({{"Lease", number_of(lease, "Id")},
                    {"Label", text_of(lease, "Label")},
                    {"State", text_of(lease, "State")},
                    {"Mode", text_of(lease, "Mode")},
                    {"Devices", list_of(lease, "Devices")},
                    {"Account", user_of(lease, "Account")},
                    {"Holder", user_of(lease, "Holder")},
                    {"Holder's pid", number_of(lease, "HolderPid")},
                    {"Memory reserved", limit_of(lease)},
                    {"Memory mapped", size_of(lease, "MemoryMapped")},
                    {"Created", time_of(lease, "Created")}});
}

std::string accounts_text(const json& accounts, const Style& style) {
    Table table({{"ACCOUNT"},
                 {"MAPPED", Align::right},
                 {"RESERVED", Align::right},
                 {"LIMIT", Align::right},
                 {"LEASES", Align::right},
                 {"DEVICES", Align::right}},
                "no accounts");
    for (const json& account : accounts) {
        table.add({user_of(account, "Uid"), size_of(account, "MemoryMapped"), size_of(account, "MemoryReserved"),
                   size_of(account, "MemoryLimit"), out_of(account, "Leases", "LeaseLimit"),
                   out_of(account, "Devices", "DeviceLimit")});
    }
    return table.text(style);
}

std::string policy_text(const json& entries, const Style& style) {
    Table table({{"KIND"}, {"NAME"}, {"SAYS"}, {"WHERE"}}, "no policy");
    for (const json& entry : entries) {
        table.add({text_of(entry, "kind"), text_of(entry, "name"), text_of(entry, "says"), text_of(entry, "where")});
    }
    return table.text(style);
}

std::string explanation_text(const json& explanation, const Style& style) {
    const char* answer = flag_of(explanation, "Allowed") ? "allowed" : "denied";
    std::string text = fmt::format("{}: {}\n", bold(answer, style), printable(text_of(explanation, "Decision")));
    Table table({{"RULE"}, {"EFFECT"}, {"MATCHED"}, {"WHY"}, {"TO CHANGE"}, {"WHERE"}}, "no rules");
    for (const json& step : explanation.value("Trace", json::array())) {
        table.add({text_of(step, "rule"), text_of(step, "effect"), text_of(step, "matched"), text_of(step, "why"),
                   text_of(step, "change"), text_of(step, "where")});
    }
    return text + table.text(style);
}

}  // namespace iommud::ctl
