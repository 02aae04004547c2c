#include "client/iommuctl/cdi.hpp"

#include <algorithm>

namespace iommud::ctl {
namespace {

constexpr const char* kind = "iommud.org/device";
constexpr const char* all_devices = "all";

json hook_at(const char* stage, const std::string& path, const char* verb, const std::string& argument) {
    return {{"hookName", stage}, {"path", path}, {"args", {"iommud-oci-hook", verb, argument}}, {"timeout", 10}};
}

// A variable of the environment could be an image's as well; a hook cannot.
json device(const std::string& name, const std::string& path, const std::string& address) {
    return {{"name", name}, {"containerEdits", {{"hooks", {hook_at("createRuntime", path, "device", address)}}}}};
}

// For tools that split names at colons, as readers of compose files do.
std::string without_colons(std::string name) {
    std::replace(name.begin(), name.end(), ':', '-');
    return name;
}

}  // namespace

json cdi_spec(const json& devices, const std::string& hook) {
    json named = json::array();
    for (const json& one : devices) {
        const std::string state = text_of(one, "State");
        if (state == "available" || state == "leased" || state == "draining") {
            const std::string address = text_of(one, "Address");
            named.push_back(device(address, hook, address));
            named.push_back(device(without_colons(address), hook, address));
        }
    }
    named.push_back(device(all_devices, hook, all_devices));
    return {{"cdiVersion", "0.5.0"},
            {"kind", kind},
            {"devices", named},
            {"containerEdits",
             {{"hooks",
               {hook_at("createRuntime", hook, "createRuntime", "--cdi"),
                hook_at("poststop", hook, "poststop", "--cdi")}}}}};
}

std::vector<std::string> cdi_names(const json& spec) {
    std::vector<std::string> names;
    if (!spec.is_object() || text_of(spec, "kind") != kind || !spec.contains("devices")) {
        return names;
    }
    for (const json& one : spec["devices"]) {
        if (one.is_object() && !text_of(one, "name").empty()) {
            names.push_back(std::string(kind) + "=" + text_of(one, "name"));
        }
    }
    return names;
}

}  // namespace iommud::ctl
