// iommud-worker: parses one client's D-Bus and speaks fixed frames to the monitor. Started by the vault, with the
// monitor's channel as descriptor 3 and the client's connection as descriptor 4 (none for the system bus).
#include <cstdlib>
#include <exception>
#include <span>
#include <string_view>

#include "daemon/base/log.hpp"
#include "daemon/worker/worker.hpp"

int main(int argc, char** argv) {
    using namespace iommud;
    for (const char* argument : std::span(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0)) {
        if (std::string_view(argument) != "--verbose") {
            return 2;
        }
        log::set_most_verbose(log::Priority::debug);
    }
    log::open("iommud-worker");
    try {
        return worker::run_worker();
    } catch (const std::exception& failure) {
        log::error("the worker ends", {{"IOMMUD_REASON", failure.what()}});
        return EXIT_FAILURE;
    }
}
