// IOMMUD_FAILPOINT="PLACE:ACTION": what the tests' keeper does when it comes to PLACE. Actions: sleep=SECONDS,
// exit=CODE, close=NUMBER: closes all descriptors from that one down to 6, among them what a client sent; and act=NAME:
// something that its system call filter must not let pass.
#include "daemon/keeper/failpoint.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace iommud::keeper {
namespace {

constexpr int control = 3;

// Zero for a name that is none.
long act(std::string_view name) {
    char byte = 0;
    if (name == "open") {
        return ::open("/", O_RDONLY | O_CLOEXEC);
    }
    if (name == "socket") {
        return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    if (name == "socketpair") {
        int ends[2];
        return ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    }
    if (name == "connect") {
        return ::connect(control, nullptr, 0);
    }
    if (name == "fork") {
        return ::fork();
    }
    if (name == "exec") {
        return ::execl("/bin/true", "true", nullptr);
    }
    if (name == "kill") {
        return ::kill(1, 0);
    }
    if (name == "pidfd") {
        return ::syscall(SYS_pidfd_open, 1, 0);
    }
    if (name == "ptrace") {
        return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    }
    if (name == "setrlimit") {
        const rlimit limit{0, 0};
        return ::setrlimit(RLIMIT_CORE, &limit);
    }
    if (name == "setpriority") {
        return ::setpriority(PRIO_PROCESS, 0, 1);
    }
    if (name == "read") {
        return ::read(control, &byte, 1);
    }
    if (name == "write") {
        return ::write(control, &byte, 1);
    }
    if (name == "mmap") {
        return ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, control, 0) == MAP_FAILED ? -1 : 1;
    }
    if (name == "executable") {
        return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 1;
    }
    if (name == "ioctl") {
        static_cast<void>(::ioctl(control, 0x5413, &byte));  // TIOCGWINSZ
    }
    if (name == "fcntl") {
        return ::fcntl(control, F_SETFL, 0);
    }
    if (name == "lseek") {
        return ::lseek(control, 0, SEEK_SET);
    }
    if (name == "mount") {
        return ::syscall(SYS_mount, "a", "/", "tmpfs", 0, nullptr);
    }
    return 0;
}

}  // namespace

void failpoint(const char* place) {
    const char* const variable = std::getenv("IOMMUD_FAILPOINT");  // NOLINT(concurrency-mt-unsafe): nobody sets it
    const std::string_view wish = variable != nullptr ? variable : "";
    const std::size_t colon = wish.find(':');
    const std::size_t equals = wish.find('=');
    if (colon == std::string_view::npos || equals == std::string_view::npos || wish.substr(0, colon) != place) {
        return;
    }
    const std::string_view action = wish.substr(colon + 1, equals - colon - 1);
    const std::string_view value = wish.substr(equals + 1);
    int number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    if (action == "act") {
        if (act(value) != 0) {
            ::_exit(99);  // it came back
        }
    } else if (action == "sleep") {
        ::poll(nullptr, 0, number * 1000);  // a call that the keeper's filter allows
    } else if (action == "close") {
        for (int fd = number; fd > 5; --fd) {
            ::close(fd);
        }
    } else if (action == "exit") {
        ::_exit(number);
    }
}

}  // namespace iommud::keeper
