#include "tests/bench/processes.hpp"

#include <fmt/format.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace iommud::bench {
namespace {

struct Status {
    std::string name;
    pid_t parent = 0;
};

// Of a process that has ended meanwhile: empty.
Status status_of(const std::filesystem::path& process) {
    std::ifstream file(process / "status");
    Status status;
    for (std::string key; file >> key && status.parent == 0;) {
        if (key == "Name:") {
            file >> status.name;
        } else if (key == "PPid:") {
            file >> status.parent;
        }
    }
    return status;
}

template <class Wanted>
std::vector<pid_t> processes(const Wanted& wanted) {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        if (std::isdigit(static_cast<unsigned char>(name[0])) != 0 && wanted(status_of(entry.path()))) {
            found.push_back(std::stoi(name));
        }
    }
    return found;
}

std::string kilobytes(double bytes) {
    return fmt::format("{:.0f} KB", bytes / 1024);
}

}  // namespace

std::vector<pid_t> children_called(pid_t parent, const std::string& name) {
    return processes([parent, &name](const Status& status) { return status.parent == parent && status.name == name; });
}

pid_t process_called(const std::string& name) {
    const auto found = processes([&name](const Status& status) { return status.name == name; });
    if (found.size() != 1) {
        throw std::runtime_error(fmt::format("{} processes are called {}", found.size(), name));
    }
    return found[0];
}

double private_dirty(pid_t pid) {
    std::ifstream file(fmt::format("/proc/{}/smaps_rollup", pid));
    for (std::string key; file >> key;) {
        double kilobytes_of_it = 0;
        if (key == "Private_Dirty:" && file >> kilobytes_of_it) {
            return kilobytes_of_it * 1024;
        }
    }
    throw std::runtime_error(fmt::format("/proc/{}/smaps_rollup cannot be read", pid));
}

Table memory_table() {
    return Table({"process", "how many", "Private_Dirty, median", "largest", "target"});
}

void memory_row(Table& table, const std::string& what, const std::vector<pid_t>& pids, const std::string& target) {
    if (pids.empty()) {
        throw std::runtime_error("there is no " + what);
    }
    std::vector<double> bytes;
    for (const pid_t pid : pids) {
        bytes.push_back(private_dirty(pid));
    }
    table.row({what, std::to_string(pids.size()), kilobytes(median(bytes)), kilobytes(quantile(bytes, 1)), target});
}

}  // namespace iommud::bench
