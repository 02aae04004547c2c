#include "client/oci-hook/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "client/oci-hook/container.hpp"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgets that itself
}

namespace iommud::hook {
namespace {

Result<std::string> read_uid_map(const std::string& path) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(std::size_t{16} * 1024, '\0');
    const ssize_t size = file.valid() ? ::read(file.get(), text.data(), text.size()) : -1;
    if (size < 0) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    text.resize(static_cast<std::size_t>(size));
    return text;
}

bool same_file(BorrowedFd left, const char* right) {
    struct stat one {};
    struct stat other {};
    return ::fstat(left.get(), &one) != 0 || ::stat(right, &other) != 0 ||
           (one.st_dev == other.st_dev && one.st_ino == other.st_ino);
}

}  // namespace

Result<Process> Process::open(std::int64_t pid) {
    if (pid <= 1 || pid > std::numeric_limits<pid_t>::max()) {
        return fail(ErrorCode::invalid_argument, fmt::format("the container's state names process {}", pid));
    }
    Process process;
    process.pidfd = UniqueFd(::pidfd_open(static_cast<pid_t>(pid), 0));
    if (!process.pidfd.valid()) {
        return fail(ErrorCode::invalid_argument, errno_message(fmt::format("the container's process {}", pid), errno));
    }
    const std::string path = fmt::format("/proc/{}/ns/mnt", pid);
    process.mount_namespace = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!process.mount_namespace.valid()) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    const Result<std::string> map = read_uid_map(fmt::format("/proc/{}/uid_map", pid));
    if (!map) {
        return tl::unexpected(map.error());
    }
    if (!process.runs()) {
        return fail(ErrorCode::invalid_argument, "the container's process has exited");
    }
    // A mount there would be the host's.
    if (same_file(process.mount_namespace.borrow(), "/proc/self/ns/mnt")) {
        return fail(ErrorCode::invalid_argument, "the container has no mount namespace of its own");
    }
    const auto root = root_on_host(*map);
    if (!root) {
        return fail(ErrorCode::invalid_argument, "the container's user namespace has no root");
    }
    process.root_uid = *root;
    return process;
}

bool Process::runs() const {
    pollfd entry{pidfd.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 0;
}

bool root_of_host() {
    const Result<std::string> map = read_uid_map("/proc/self/uid_map");
    return ::geteuid() == 0 && map && *map == "         0          0 4294967295\n";
}

}  // namespace iommud::hook
