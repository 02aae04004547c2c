#include "daemon/sandbox/seccomp.hpp"

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "daemon/base/log.hpp"
#include "daemon/base/result.hpp"
#include "daemon/sandbox/privileges.hpp"

namespace iommud::sandbox {

void enter_seccomp(std::span<const sock_filter> program) {
    forbid_new_privileges();
#ifdef IOMMUD_SANITIZED
    log::notice("built with sanitizers: the system call filter is not installed");
    static_cast<void>(program);
#else
    const sock_fprog description{static_cast<unsigned short>(program.size()),
                                 const_cast<sock_filter*>(program.data())};  // the kernel copies and does not write
    if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &description) != 0) {
        throw Fatal(errno_message("install the system call filter", errno));
    }
#endif
}

}  // namespace iommud::sandbox
