#include "daemon/sandbox/privileges.hpp"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "daemon/base/result.hpp"

namespace iommud::sandbox {
namespace {

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

__user_cap_header_struct header() {
    return {_LINUX_CAPABILITY_VERSION_3, 0};
}

Sets read_sets() {
    Sets sets{};
    __user_cap_header_struct head = header();
    if (::syscall(SYS_capget, &head, sets.data()) != 0) {
        throw Fatal(errno_message("read the capabilities", errno));
    }
    return sets;
}

bool has(const Sets& sets, int capability) {
    const auto number = static_cast<unsigned>(capability);
    return (sets[number / 32].effective & (1U << (number % 32))) != 0;
}

// Below the bounding set an exec of a root process would get everything back.
void bound(std::span<const int> capabilities) {
    for (int number = 0; ::prctl(PR_CAPBSET_READ, number) >= 0; ++number) {
        if (std::find(capabilities.begin(), capabilities.end(), number) == capabilities.end() &&
            ::prctl(PR_CAPBSET_DROP, number) != 0) {
            throw Fatal(errno_message("drop a capability from the bounding set", errno));
        }
    }
}

}  // namespace

void forbid_new_privileges() {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        throw Fatal(errno_message("set no_new_privs", errno));
    }
}

void forbid_dumps() {
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        throw Fatal(errno_message("make the process undumpable", errno));
    }
    set_limit(RLIMIT_CORE, 0);
}

void keep_capabilities(std::span<const int> capabilities) {
    const Sets before = read_sets();
    if (has(before, CAP_SETPCAP)) {
        bound(capabilities);
    }
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
        throw Fatal(errno_message("clear the ambient capabilities", errno));
    }
    Sets after{};
    for (const int capability : capabilities) {
        const auto number = static_cast<unsigned>(capability);
        after[number / 32].permitted |= 1U << (number % 32);
    }
    for (std::size_t i = 0; i < after.size(); ++i) {
        after[i].permitted &= before[i].permitted;
        after[i].effective = after[i].permitted;
    }
    __user_cap_header_struct head = header();
    if (::syscall(SYS_capset, &head, after.data()) != 0) {
        throw Fatal(errno_message("give up capabilities", errno));
    }
}

void set_limit(int resource, rlim_t limit) {
    const rlimit value{limit, limit};
    if (::setrlimit(static_cast<__rlimit_resource_t>(resource), &value) != 0) {
        throw Fatal(errno_message("set a resource limit", errno));
    }
}

std::uint64_t effective_capabilities() {
    const Sets sets = read_sets();
    return sets[0].effective | (std::uint64_t{sets[1].effective} << 32);
}

}  // namespace iommud::sandbox
