// What an OCI runtime says of a container: its state on standard input, and config.json in its bundle. Runtimes differ
// (runc, crun, youki): keys that are not known are passed over, and none is relied upon that is not needed. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/pci_address.hpp"
#include "daemon/base/result.hpp"

namespace iommud::hook {

inline constexpr std::size_t most_json = std::size_t{4} * 1024 * 1024;

inline constexpr std::string_view device_stage = "device";  // of the hook that CDI has for each device

struct State {
    std::string id;
    std::string status;    // "creating" or "created" before the container runs, "stopped" after its end
    std::int64_t pid = 0;  // 0: not said, as after the container's end
    std::string bundle;
    std::map<std::string, std::string> annotations;
};

struct Config {
    std::string root;  // root.path: absolute, or relative to the bundle
    std::map<std::string, std::string> annotations;
    // What CDI named: the arguments of its hooks, which unlike the environment come from no image.
    std::vector<std::string> cdi_devices;
    std::vector<std::string> mount_points;
};

// Errors: invalid_argument. Not JSON, a key given twice, deeper than 64, longer than most_json, an id that is none.
[[nodiscard]] Result<State> parse_state(std::string_view text);
[[nodiscard]] Result<Config> parse_config(std::string_view text);

// What a container asked of us.
struct Wish {
    std::vector<PciAddress> devices;      // empty: whatever policy gives
    std::optional<std::uint64_t> memory;  // bytes
};

// Nothing when it asked for nothing. By annotations org.iommud.devices ("ADDRESS[,ADDRESS...]" or "all"),
// org.iommud.memory ("64MiB") and org.iommud.mode ("managed"); where `cdi` says that the engine ran this hook for a
// --device, by the variables IOMMUD_DEVICE_* that came with each. Error: invalid_argument.
[[nodiscard]] Result<std::optional<Wish>> read_wish(const State& state, const Config& config, bool cdi);

// The annotations that the daemon is told of, for policy to narrow by: those that are short, in the order of their
// names, as many as it takes.
[[nodiscard]] std::map<std::string, std::string> annotations_to_tell(const State& state, const Config& config);

// The host's uid of the container's root, from the text of /proc/PID/uid_map. Nothing when it has none.
[[nodiscard]] std::optional<std::uint32_t> root_on_host(std::string_view uid_map);

}  // namespace iommud::hook
