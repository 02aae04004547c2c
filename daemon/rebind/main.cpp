// iommud-rebind: binds devices anew that were out unbound (hazard C5), one child for each, for a write to `unbind` may
// block for ever (H7). The monitor asks by a folder of the device's name in /run/iommud/rebind; systemd starts this
// program when there is one, and it goes when there has been none for a while.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <getopt.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "daemon/base/log.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/rebind/bind_anew.hpp"

namespace iommud::rebind {
namespace {

// Not at once: systemd gives up on a unit that is started five times within ten seconds.
constexpr int linger_ms = 15'000;

struct Options {
    std::string run = "/run/iommud";
    std::string sysfs = "/sys";
    int linger_ms = rebind::linger_ms;
};

log::Field device_field(const PciAddress& device) {
    return {"IOMMUD_DEVICE", device.text()};
}

class Rebinder {
  public:
    explicit Rebinder(const Options& options);
    void run();

  private:
    struct Child {
        pid_t pid = -1;
        UniqueFd pidfd;
    };

    [[nodiscard]] std::vector<std::string> take_requests() const;
    void start(const std::string& name);
    [[nodiscard]] bool wait();  // false: nothing has happened for a while, and nothing is under way
    void reap();

    const Options& options_;
    std::string folder_;
    UniqueFd news_;
    std::map<PciAddress, Child> children_;
};

Rebinder::Rebinder(const Options& options)
    : options_(options), folder_(options.run + "/rebind"), news_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (::inotify_add_watch(news_.get(), folder_.c_str(), IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
        throw Fatal(errno_message("watch " + folder_, errno));
    }
}

// Each is taken away before it is looked at: one that comes during that is another.
std::vector<std::string> Rebinder::take_requests() const {
    struct Close {
        void operator()(DIR* folder) const { ::closedir(folder); }
    };
    std::vector<std::string> names;
    const std::unique_ptr<DIR, Close> folder(::opendir(folder_.c_str()));
    while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) {  // NOLINT(concurrency-mt-unsafe)
        const std::string name = entry->d_name;
        if (name == "." || name == "..") {
            continue;
        }
        if (::unlinkat(::dirfd(folder.get()), entry->d_name, AT_REMOVEDIR) != 0) {
            throw Fatal(errno_message(folder_ + "/" + name, errno));  // systemd would start this again and again
        }
        names.push_back(name);
    }
    return names;
}

void Rebinder::start(const std::string& name) {
    const auto device = PciAddress::parse(name);
    if (!device || children_.contains(*device)) {
        return;
    }
    const auto driver = vfio_driver(options_.sysfs, *device);
    if (!driver) {
        log::notice(driver.error().message, {device_field(*device)});
        return;
    }
    log::info(fmt::format("{} is bound anew to {} as soon as every descriptor of it is closed", name, *driver),
              {device_field(*device)});
    const pid_t pid = ::fork();
    if (pid == 0) {
        const auto bound = bind_anew(options_.sysfs, *device, *driver);
        if (bound) {
            log::notice(fmt::format("{} was bound anew to {}", name, *driver), {device_field(*device)});
        } else {
            log::error(fmt::format("{} is not bound anew to {}: {}", name, *driver, bound.error().message),
                       {device_field(*device)});
        }
        ::_exit(bound ? 0 : 1);
    }
    UniqueFd pidfd(pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1);
    if (!pidfd.valid()) {
        throw Fatal(errno_message("start a child", errno));
    }
    children_.emplace(*device, Child{pid, std::move(pidfd)});
}

bool Rebinder::wait() {
    std::vector<pollfd> waiting{{news_.get(), POLLIN, 0}};
    for (const auto& [device, child] : children_) {
        waiting.push_back({child.pidfd.get(), POLLIN, 0});
    }
    const int ready = ::poll(waiting.data(), waiting.size(), children_.empty() ? options_.linger_ms : -1);
    std::array<char, 4096> events;
    while (::read(news_.get(), events.data(), events.size()) > 0) {
        // That there is something new is all they say.
    }
    reap();
    return ready != 0;
}

void Rebinder::reap() {
    std::erase_if(children_, [](const auto& entry) {
        siginfo_t info{};
        const auto pidfd = static_cast<id_t>(entry.second.pidfd.get());
        return ::waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0;
    });
}

void Rebinder::run() {
    do {
        for (const std::string& name : take_requests()) {
            start(name);
        }
    } while (wait());
}

Options parse(int argc, char** argv) {
    constexpr std::array<option, 4> known{{{"run", required_argument, nullptr, 'r'},
                                           {"sysfs", required_argument, nullptr, 's'},
                                           {"linger", required_argument, nullptr, 'l'},
                                           {}}};
    Options options;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    for (int chosen = 0; (chosen = ::getopt_long(argc, argv, "", known.data(), nullptr)) != -1;) {
        switch (chosen) {
            case 'r':
                options.run = optarg;
                break;
            case 's':
                options.sysfs = optarg;
                break;
            case 'l':
                options.linger_ms = std::stoi(optarg);
                break;
            default:
                throw Fatal("usage: iommud-rebind [--run DIR] [--sysfs DIR] [--linger MILLISECONDS]");
        }
    }
    return options;
}

}  // namespace
}  // namespace iommud::rebind

int main(int argc, char** argv) {
    iommud::log::open("iommud-rebind");
    try {
        const auto options = iommud::rebind::parse(argc, argv);
        iommud::rebind::Rebinder(options).run();
        return 0;
    } catch (const std::exception& error) {
        iommud::log::error(error.what());
        return 1;
    }
}
