// iommud, the monitor: decides who may have which device (DESIGN §2). No privilege, no device, no D-Bus.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "daemon/base/bytes.hpp"
#include "daemon/base/log.hpp"
#include "daemon/inventory/hwdb_names.hpp"
#include "daemon/inventory/simulated_devices.hpp"
#include "daemon/monitor/monitor.hpp"
#include "daemon/sandbox/monitor_filter.hpp"
#include "daemon/sandbox/privileges.hpp"
#include "daemon/sandbox/seccomp.hpp"

namespace iommud::monitor {
namespace {

Inventory first_look(const Options& options) {
    if (options.simulated) {
        const auto devices = simulated_devices(options.config);
        if (!devices) {
            throw Fatal(devices.error().message);
        }
        return Inventory::simulated(*devices);
    }
    Result<Inventory> inventory = Inventory::scan("/sys", HwdbNames(), options.run + "/serials");
    if (!inventory) {
        throw Fatal(inventory.error().message);
    }
    return std::move(*inventory);
}

// From systemd where it has made the socket; else at `path`.
UniqueFd listening_socket(const char* systemd_name, const std::string& path, unsigned mode) {
    UniqueFd socket = socket_from_systemd(systemd_name);
    if (socket.valid()) {
        return socket;
    }
    Result<UniqueFd> own = listen_at(path, mode);
    if (!own) {
        throw Fatal(own.error().message);
    }
    return std::move(*own);
}

void run(const Options& options) {
    if (options.simulated) {
        ::mkdir((options.run + "/admin").c_str(), 0700);
        ::mkdir((options.run + "/endpoints").c_str(), 0711);
        ::mkdir((options.run + "/rebind").c_str(), 0770);
        log::notice("simulated: no device, no kernel feature, no isolation; for trials and tests only");
    }
    boost::asio::io_context io(1);
    Monitor monitor(io, options, first_look(options));
    monitor.start(listening_socket("bus", options.run + "/bus", 0666),
                  listening_socket("admin", options.run + "/admin/bus", 0600), [] {
                      sandbox::forbid_dumps();
                      sandbox::enter_seccomp(sandbox::monitor_filter);
                  });
    io.run();
}

}  // namespace
}  // namespace iommud::monitor

int main(int argc, char** argv) {
    using namespace iommud;
    const monitor::Options options = monitor::parse_options(argc, argv);
    log::open("iommud");
    if (options.verbose) {
        log::set_most_verbose(log::Priority::debug);
    }
    static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
    try {
        monitor::run(options);
    } catch (const std::exception& error) {
        log::error(error.what());
        return 1;
    }
    return 0;
}
