// LD_PRELOAD for iommud-oci-hook: when it has mounted, renames $MOVE_PLACE_FROM to $MOVE_PLACE_TO, as somebody else who
// can write to a container's volume would do at just that moment. In the mount namespace of the hook's parent: in that
// of the container, where the folder is a mount point, Linux refuses it (EBUSY).
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace {

const int outside = ::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

void move_place(const char* from, const char* to) {
    const pid_t child = ::fork();
    if (child == 0) {
        const bool moved = ::setns(outside, CLONE_NEWNS) == 0 && std::rename(from, to) == 0;
        ::_exit(moved ? 0 : 1);
    }
    ::waitpid(child, nullptr, 0);
}

}  // namespace

// The C library's syscall(2), with as many arguments as there can be.
extern "C" long syscall(long number, ...) noexcept {
    using Syscall = long (*)(long, ...);
    static const auto real = reinterpret_cast<Syscall>(::dlsym(RTLD_NEXT, "syscall"));
    va_list words;
    va_start(words, number);
    long arguments[6]{};
    for (long& argument : arguments) {
        argument = va_arg(words, long);
    }
    va_end(words);
    const long result =
        real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    const char* from = std::getenv("MOVE_PLACE_FROM");
    const char* to = std::getenv("MOVE_PLACE_TO");
    if (number == SYS_move_mount && result == 0 && from != nullptr && to != nullptr) {
        move_place(from, to);
    }
    return result;
}
