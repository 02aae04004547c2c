// ioctl as an errno value.
#pragma once

#include <sys/ioctl.h>

#include <cerrno>

#include "daemon/base/unique_fd.hpp"

namespace iommud::kernel {

template <class Argument>
[[nodiscard]] int control(BorrowedFd fd, unsigned long request, Argument argument) {
    while (::ioctl(fd.get(), request, argument) < 0) {
        const int error = errno;
        if (error != EINTR) {
            return error;
        }
    }
    return 0;
}

}  // namespace iommud::kernel
