#include "client/iommuctl/cdi.hpp"

#include <algorithm>

namespace iommud::ctl {
namespace {

constexpr const char* kind = "iommud.org/device";
constexpr const char* all_devices = "all";

json device(const std::string& name) {
    std::string variable = "IOMMUD_DEVICE_" + name;
    std::replace_if(
        variable.begin(), variable.end(), [](char c) { return c == ':' || c == '.'; }, '_');
    return {{"name", name}, {"containerEdits", {{"env", {variable + "=" + name}}}}};
}

json hook_at(const char* stage, const std::string& path) {
    return {{"hookName", stage}, {"path", path}, {"args", {"iommud-oci-hook", stage, "--cdi"}}, {"timeout", 10}};
}

}  // namespace

json cdi_spec(const json& devices, const std::string& hook) {
    json named = json::array();
    for (const json& one : devices) {
        const std::string state = text_of(one, "State");
        if (state == "available" || state == "leased" || state == "draining") {
            named.push_back(device(text_of(one, "Address")));
        }
    }
    named.push_back(device(all_devices));
    return {{"cdiVersion", "0.5.0"},
            {"kind", kind},
            {"devices", named},
            {"containerEdits", {{"hooks", {hook_at("createRuntime", hook), hook_at("poststop", hook)}}}}};
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
