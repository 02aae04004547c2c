#include "client/oci-hook/mount.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

namespace iommud::hook {
namespace {

constexpr const char* mount_parent = "run";
constexpr const char* mount_name = "iommud";

// The C library of Debian 12 has names for open_tree and its like, in a header that does not go with linux/mount.h.
UniqueFd open_tree(const char* path) {
    constexpr unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
    return UniqueFd(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, path, flags)));
}

UniqueFd open_below(BorrowedFd folder, const char* name, std::uint64_t resolve, std::uint64_t flags) {
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC | flags;
    how.resolve = resolve;
    return UniqueFd(static_cast<int>(::syscall(SYS_openat2, folder.get(), name, &how, sizeof how)));
}

UniqueFd open_parent(BorrowedFd root) {
    return open_below(root, mount_parent, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, 0);
}

UniqueFd open_point(BorrowedFd parent) {
    return open_below(parent, mount_name, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, O_NOFOLLOW);
}

tl::unexpected<Error> failed(const char* what) {
    return fail(ErrorCode::internal, errno_message(what, errno));
}

tl::unexpected<Error> refused(std::string message) {
    return fail(ErrorCode::access_denied, "the container's /run/iommud: " + std::move(message));
}

bool same(const struct stat& left, const struct stat& right) {
    return left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

// From /run upwards to the container's root: whoever can rename what is in one of these decides what /run/iommud is. In
// a sticky folder that is the owner of what is in it. Access lists show in the group's bits.
Result<void> nobody_elses(BorrowedFd root, BorrowedFd point, std::uint32_t container_root) {
    constexpr int deepest = 32;
    const auto trusted = [container_root](uid_t uid) { return uid == 0 || uid == container_root; };
    struct stat top {};
    struct stat below {};
    if (::fstat(root.get(), &top) != 0 || ::fstat(point.get(), &below) != 0) {
        return failed("the container's root");
    }
    UniqueFd folder(::openat(point.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (int level = 0; level < deepest; ++level) {
        struct stat status {};
        if (!folder.valid() || ::fstat(folder.get(), &status) != 0) {
            return failed("the container's /run");
        }
        const bool writable = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
        const bool kept = (status.st_mode & S_ISVTX) != 0 && trusted(below.st_uid);
        if (!trusted(status.st_uid) || (writable && !kept)) {
            return refused(
                fmt::format("a folder on the way there, of uid {} and with mode {:o}, can be written to by "
                            "others: they could put something else in its place",
                            status.st_uid, status.st_mode & 07777));
        }
        if (same(status, top)) {
            return {};
        }
        below = status;
        folder = UniqueFd(::openat(folder.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    return refused(fmt::format("deeper than {} folders", deepest));
}

// To the end; mounts are many on some hosts.
Result<std::string> read_mounts(BorrowedFd proc_self) {
    constexpr std::size_t most = std::size_t{16} * 1024 * 1024;
    const UniqueFd file(::openat(proc_self.get(), "mountinfo", O_RDONLY | O_CLOEXEC));
    std::string text;
    std::array<char, 65536> some{};
    while (file.valid() && text.size() <= most) {
        const ssize_t size = ::read(file.get(), some.data(), some.size());
        if (size == 0) {
            return text;
        }
        if (size < 0 && errno != EINTR) {
            break;
        }
        text.append(some.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
        errno = EFBIG;  // of a text that is longer than that
    }
    return failed("the container's mounts");
}

std::optional<std::uint64_t> mount_of(BorrowedFd fd) {
    struct statx status {};
    const bool known =
        ::statx(fd.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &status) == 0 && (status.stx_mask & STATX_MNT_ID) != 0;
    return known ? std::optional<std::uint64_t>(status.stx_mnt_id) : std::nullopt;
}

Result<void> stays_inside(BorrowedFd proc_self, BorrowedFd point) {
    const Result<std::string> mounts = read_mounts(proc_self);
    if (!mounts) {
        return tl::unexpected(mounts.error());
    }
    const auto mount = mount_of(point);
    if (!mount || propagates(*mounts, *mount).value_or(true)) {
        return refused(
            "it lies on a shared mount: what is mounted there would be on the host, too, in place of its own. Give the "
            "volume the option \"rprivate\" or \"rslave\", and leave out rootfsPropagation \"shared\"");
    }
    return {};
}

// What the container will find is what was mounted: not so when the place was moved meanwhile.
bool found_again(BorrowedFd root, BorrowedFd mount) {
    const UniqueFd parent = open_parent(root);
    const UniqueFd point = parent.valid() ? open_point(parent.borrow()) : UniqueFd();
    struct stat wanted {};
    struct stat found {};
    return point.valid() && ::fstat(mount.get(), &wanted) == 0 && ::fstat(point.get(), &found) == 0 &&
           same(wanted, found) && mount_of(mount) && mount_of(mount) == mount_of(point.borrow());
}

}  // namespace

std::optional<bool> propagates(std::string_view mountinfo, std::uint64_t mount) {
    while (!mountinfo.empty()) {
        const std::string_view line = mountinfo.substr(0, mountinfo.find('\n'));
        mountinfo.remove_prefix(std::min(mountinfo.size(), line.size() + 1));
        std::uint64_t number = 0;
        const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
        if (error == std::errc{} && number == mount) {
            // Optional fields end with a hyphen. No path before it has a space of its own: it is written as \040.
            return line.substr(0, line.find(" - ")).find(" shared:") != std::string_view::npos;
        }
    }
    return std::nullopt;
}

Result<UniqueFd> copy_mount(const std::string& folder) {
    UniqueFd copy = open_tree(folder.c_str());
    if (!copy.valid()) {
        return fail(ErrorCode::internal, errno_message("open_tree " + folder, errno));
    }
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    attributes.propagation = MS_PRIVATE;
    if (::syscall(SYS_mount_setattr, copy.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
        return fail(ErrorCode::internal, errno_message("mount_setattr " + folder, errno));
    }
    return copy;
}

Result<UniqueFd> mount_point(BorrowedFd root, std::uint32_t container_root) {
    UniqueFd parent = open_parent(root);
    if (!parent.valid() && errno == ENOENT) {
        ::mkdirat(root.get(), mount_parent, 0755);  // a link that leads nowhere is in the way, and stays
        parent = open_parent(root);
    }
    if (!parent.valid()) {
        return failed("the container's /run");
    }
    if (::mkdirat(parent.get(), mount_name, 0755) != 0 && errno != EEXIST) {
        return failed("make the container's /run/iommud");
    }
    UniqueFd point = open_point(parent.borrow());
    if (!point.valid()) {
        return failed("the container's /run/iommud");
    }
    if (Result<void> safe = nobody_elses(root, point.borrow(), container_root); !safe) {
        return tl::unexpected(safe.error());
    }
    return point;
}

Result<void> mount_in(const Process& container, const std::string& root, BorrowedFd mount) {
    const UniqueFd proc_self(::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));  // there may be none in there
    if (!proc_self.valid()) {
        return failed("/proc/self");
    }
    if (::setns(container.mount_namespace.get(), CLONE_NEWNS) != 0) {
        return failed("enter the container's mount namespace");
    }
    const UniqueFd root_fd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root_fd.valid()) {
        return fail(ErrorCode::internal, errno_message("the container's root " + root, errno));
    }
    const Result<UniqueFd> point = mount_point(root_fd.borrow(), container.root_uid);
    if (!point) {
        return tl::unexpected(point.error());
    }
    if (Result<void> inside = stays_inside(proc_self.borrow(), point->borrow()); !inside) {
        return inside;
    }
    if (::syscall(SYS_move_mount, mount.get(), "", point->get(), "",
                  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
        return failed("mount at the container's /run/iommud");
    }
    if (!found_again(root_fd.borrow(), mount)) {
        const bool detached = ::fchdir(mount.get()) == 0 && ::umount2(".", MNT_DETACH) == 0;
        return refused(fmt::format("it was moved while the endpoint was mounted there{}",
                                   detached ? "" : ", and the mount cannot be taken back"));
    }
    return {};
}

}  // namespace iommud::hook
