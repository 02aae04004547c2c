// What iommuctl was asked to do. Pure: nothing is opened, asked or printed here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

namespace iommud::ctl {

struct Settings {
    std::string address;  // empty: the default
    bool json = false;
    bool legend = true;
};

struct Status {};
struct Devices {};
struct DeviceShow {
    std::string address;
};
struct Leases {};
struct LeaseShow {
    std::uint64_t lease = 0;
};
struct LeaseRevoke {
    std::uint64_t lease = 0;
    std::uint32_t grace_seconds = 0;
    std::string reason;
};
struct Accounts {};
struct Reload {};
struct PolicyCheck {
    std::string config = "/etc/iommud";
    std::vector<std::string> paths;  // files and folders; none: what a daemon with `config` would load
};
struct PolicyShow {};
struct PolicyExplain {
    std::string user;          // empty: the caller
    std::string mode;          // empty: the daemon's default
    std::uint64_t memory = 0;  // bytes; 0: the daemon's default
    std::vector<std::string> devices;
};
struct CdiGenerate {
    std::string output;  // a folder; empty: standard output
    std::string hook;    // absolute; empty: the installed one
};
struct CdiList {
    std::vector<std::string> folders{"/etc/cdi", "/run/cdi"};
};
struct Run {
    std::vector<std::string> devices;
    std::string mode;
    std::uint64_t memory = 0;
    std::string label;
    std::vector<std::string> program;  // with its arguments, placeholders checked and not yet replaced
};

using Verb = std::variant<Status, Devices, DeviceShow, Leases, LeaseShow, LeaseRevoke, Accounts, Reload, PolicyCheck,
                          PolicyShow, PolicyExplain, CdiGenerate, CdiList, Run>;

struct CommandLine {
    Settings settings;
    Verb verb;
};

// Instead of something to do: a text, for stdout with exit code 0 (help, version), else for stderr with exit code 2.
struct Usage {
    int exit_code = 2;
    std::string text;
};

// `arguments` without the program's own name.
[[nodiscard]] tl::expected<CommandLine, Usage> parse_command_line(std::vector<std::string> arguments);

}  // namespace iommud::ctl
