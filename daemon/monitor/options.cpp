#include "daemon/monitor/options.hpp"

#include <CLI/CLI.hpp>

namespace iommud::monitor {

std::vector<std::string> Options::policy_folders() const {
    if (simulated) {
        return {config + "/policy.d"};
    }
    return {config + "/policy.d", "/run/iommud/policy.d", "/usr/lib/iommud/policy.d"};
}

Options parse_options(int argc, char** argv) {
    Options options;
    std::string kernel = "auto";
    bool system_bus = false;
    bool no_system_bus = false;
    CLI::App app("iommud: decides who may have which DMA-capable device, and how much pinned memory", "iommud");
    app.add_option("--kernel", kernel, "auto, or simulated: no device and no kernel feature, as any user")
        ->check(CLI::IsMember({"auto", "simulated"}));
    app.add_option("--run", options.run, "folder of the sockets")->capture_default_str();
    app.add_option("--config", options.config, "folder of policy.d")->capture_default_str();
    app.add_option("--grant-timeout", options.grant_timeout,
                   "seconds after which a lease that is not given is given up")
        ->check(CLI::Range(1, 3600))
        ->capture_default_str();
    app.add_flag("--no-system-bus", no_system_bus, "do not serve org.iommud1 on the system bus");
    app.add_flag("--system-bus", system_bus, "serve it there although the kernel is simulated");
    app.add_flag("--verbose", options.verbose, "log what is decided, too");
    app.set_version_flag("--version", IOMMUD_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int status = app.exit(error);
        std::exit(status == 0 ? 0 : 2);  // NOLINT(concurrency-mt-unsafe): one thread
    }
    options.simulated = kernel == "simulated";
    options.system_bus = !no_system_bus && (system_bus || !options.simulated);
    return options;
}

}  // namespace iommud::monitor
