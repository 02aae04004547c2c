// iommuctl policy check [FILE|FOLDER...]: with the daemon's own library, and without the daemon.
#include <fmt/format.h>
#include <unistd.h>

#include "client/iommuctl/verbs.hpp"
#include "policy/machine.hpp"

namespace iommud::ctl {
namespace {

std::string lines_of(const policy::Diagnostics& diagnostics, std::string_view kind) {
    std::string text;
    for (policy::Diagnostic diagnostic : diagnostics) {
        diagnostic.message.insert(0, kind);
        text += printable(diagnostic.text()) + '\n';
    }
    return text;
}

std::string counted(std::size_t count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string summary_of(const policy::Loaded& loaded) {
    std::string text = counted(loaded.files.size(), "file") + ": ";
    if (!loaded.policy) {
        return text + counted(loaded.errors.size(), "error") + ", " + counted(loaded.warnings.size(), "warning");
    }
    text += counted(loaded.policy->accounts.size(), "account") + ", " + counted(loaded.policy->rules.size(), "rule");
    text += loaded.warnings.empty() ? "" : ", " + counted(loaded.warnings.size(), "warning");
    return text + (loaded.policy->rules.empty() ? "; everything is denied" : "");
}

json json_of(const policy::Diagnostics& diagnostics) {
    json list = json::array();
    for (const policy::Diagnostic& diagnostic : diagnostics) {
        list.push_back({{"File", diagnostic.file},
                        {"Line", diagnostic.line},
                        {"Column", diagnostic.column},
                        {"Pointer", diagnostic.pointer},
                        {"Message", diagnostic.message}});
    }
    return list;
}

json json_of(const policy::Loaded& loaded) {
    return {{"Files", loaded.files},
            {"Accounts", loaded.policy ? loaded.policy->accounts.size() : 0},
            {"Rules", loaded.policy ? loaded.policy->rules.size() : 0},
            {"Errors", json_of(loaded.errors)},
            {"Warnings", json_of(loaded.warnings)}};
}

policy::Loaded load(const PolicyCheck& verb) {
    if (!verb.paths.empty()) {
        return policy::load_paths(verb.paths);
    }
    std::vector<std::string> folders = policy::default_folders();
    folders.front() = verb.config + "/policy.d";
    return policy::load_folders(folders, 0);
}

}  // namespace

Outcome<int> perform(const PolicyCheck& verb, const Settings& settings) {
    const policy::Loaded loaded = load(verb);
    const std::string legend = settings.legend ? summary_of(loaded) + '\n' : "";
    const auto printed = settings.json
                             ? print_json(json_of(loaded))
                             : print(lines_of(loaded.errors, "") + lines_of(loaded.warnings, "warning: ") + legend);
    return printed && !loaded.policy ? 1 : printed;
}

}  // namespace iommud::ctl
