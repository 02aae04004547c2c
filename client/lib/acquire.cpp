#include "client/lib/acquire.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace iommud::lib {
namespace {

constexpr std::size_t most_fds = 253;  // SCM_MAX_FD

int append_devices(sd_bus_message* message, const std::vector<std::string>& devices) {
    int result = sd_bus_message_open_container(message, 'a', "s");
    for (auto device = devices.begin(); result >= 0 && device != devices.end(); ++device) {
        result = sd_bus_message_append_basic(message, 's', device->c_str());
    }
    return result < 0 ? result : sd_bus_message_close_container(message);
}

int append_options(sd_bus_message* message, const AcquireOptions& options) {
    int result = sd_bus_message_open_container(message, 'a', "{sv}");
    if (result >= 0 && !options.mode.empty()) {
        result = sd_bus_message_append(message, "{sv}", "mode", "s", options.mode.c_str());
    }
    if (result >= 0 && options.memory != 0) {
        result = sd_bus_message_append(message, "{sv}", "memory", "t", options.memory);
    }
    if (result >= 0 && !options.label.empty()) {
        result = sd_bus_message_append(message, "{sv}", "label", "s", options.label.c_str());
    }
    return result < 0 ? result : sd_bus_message_close_container(message);
}

int read_fds(sd_bus_message* reply, Granted& granted) {
    int result = sd_bus_message_enter_container(reply, 'a', "(sh)");
    while (result >= 0) {
        const char* name = nullptr;
        int fd = -1;
        result = sd_bus_message_read(reply, "(sh)", &name, &fd);
        if (result <= 0) {
            break;
        }
        if (granted.fds.size() == most_fds || granted.find(name).valid()) {
            return -EBADMSG;
        }
        UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));  // the message keeps its own; never stdin, stdout, stderr
        if (!copy.valid()) {
            return -errno;
        }
        granted.fds.push_back({name, std::move(copy)});
    }
    return result < 0 ? result : sd_bus_message_exit_container(reply);
}

int read_info(sd_bus_message* reply, Granted& granted) {
    int result = sd_bus_message_enter_container(reply, 'a', "{sv}");
    while (result >= 0 && (result = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
        const char* key = nullptr;
        result = sd_bus_message_read_basic(reply, 's', &key);
        if (result >= 0 && std::strcmp(key, "simulated") == 0) {
            int simulated = 0;
            result = sd_bus_message_read(reply, "v", "b", &simulated);
            granted.simulated = simulated != 0;
        } else if (result >= 0 && std::strcmp(key, "memory") == 0) {
            result = sd_bus_message_read(reply, "v", "t", &granted.memory);
        } else if (result >= 0) {
            result = sd_bus_message_skip(reply, "v");  // later daemons say more
        }
        if (result >= 0) {
            result = sd_bus_message_exit_container(reply);
        }
    }
    return result < 0 ? result : sd_bus_message_exit_container(reply);
}

}  // namespace

BorrowedFd Granted::find(std::string_view name) const {
    const auto found = std::find_if(fds.begin(), fds.end(), [name](const NamedFd& fd) { return fd.name == name; });
    return found == fds.end() ? BorrowedFd() : found->fd.borrow();
}

Outcome<Granted> acquire(const Bus& bus, const std::vector<std::string>& devices, const AcquireOptions& options) {
    auto call = bus.new_call(manager_path, manager_interface, "Acquire");
    if (!call) {
        return tl::unexpected(std::move(call.error()));
    }
    int result = append_devices(call->get(), devices);
    if (result < 0 || (result = append_options(call->get(), options)) < 0) {
        return message_failed("ask for a lease", result);
    }
    auto reply = bus.call(*call, acquire_timeout);
    if (!reply) {
        return tl::unexpected(std::move(reply.error()));
    }
    Granted granted;
    const char* path = nullptr;
    if ((result = sd_bus_message_read_basic(reply->get(), 'o', &path)) < 0 ||
        (result = read_fds(reply->get(), granted)) < 0 || (result = read_info(reply->get(), granted)) < 0) {
        return message_failed("read the lease", result);
    }
    granted.path = path;
    if (!granted.find("lease").valid()) {
        return failed(IOMMUD_ERROR_PROTOCOL, "the daemon's answer has no lease descriptor");
    }
    return granted;
}

}  // namespace iommud::lib
