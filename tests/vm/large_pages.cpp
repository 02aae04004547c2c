// Put into the vault by LD_PRELOAD: the kernel's pages seem to have 256 KiB.
#include <dlfcn.h>
#include <unistd.h>

extern "C" long sysconf(int name) noexcept {
    using Sysconf = long (*)(int);
    static const auto theirs = reinterpret_cast<Sysconf>(::dlsym(RTLD_NEXT, "sysconf"));
    return name == _SC_PAGESIZE ? 256L * 1024 : theirs(name);
}
