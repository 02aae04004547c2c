// Puts the process under its allow-list, for good.
#pragma once

#include <linux/filter.h>

#include <span>

namespace iommud::sandbox {

// Sets no_new_privs and installs `program` (a NAME_filter of a generated NAME_filter.hpp) for every thread of the
// process: a system call outside the list kills it. Throws Fatal when the kernel refuses. In a build with sanitizers,
// whose run-time makes calls of its own, it only logs that it does nothing.
void enter_seccomp(std::span<const sock_filter> program);

}  // namespace iommud::sandbox
