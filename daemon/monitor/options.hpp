// The monitor's command line.
#pragma once

#include <string>
#include <vector>

namespace iommud::monitor {

struct Options {
    bool simulated = false;
    bool verbose = false;
    bool system_bus = true;
    std::string run = "/run/iommud";     // the vault's socket; in simulated mode the client sockets too
    std::string config = "/etc/iommud";  // policy.d, simulated-devices.json
    // Seconds that a keeper may take to give a lease or what is added to one. The kernel waits up to 60 for a reset.
    unsigned grant_timeout = 75;

    // Folders of policy files, the one that hides the others first (DESIGN §7).
    [[nodiscard]] std::vector<std::string> policy_folders() const;
};

// Prints help or what is wrong and exits (2) when the arguments are not these options.
[[nodiscard]] Options parse_options(int argc, char** argv);

}  // namespace iommud::monitor
