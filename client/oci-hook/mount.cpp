#include "client/oci-hook/mount.hpp"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>

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

}  // namespace

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

Result<UniqueFd> mount_point(BorrowedFd root) {
    const auto open_parent = [root] {
        return open_below(root, mount_parent, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, 0);
    };
    UniqueFd parent = open_parent();
    if (!parent.valid() && errno == ENOENT) {
        ::mkdirat(root.get(), mount_parent, 0755);  // a link that leads nowhere is in the way, and stays
        parent = open_parent();
    }
    if (!parent.valid()) {
        return fail(ErrorCode::internal, errno_message("the container's /run", errno));
    }
    if (::mkdirat(parent.get(), mount_name, 0755) != 0 && errno != EEXIST) {
        return fail(ErrorCode::internal, errno_message("make the container's /run/iommud", errno));
    }
    UniqueFd point = open_below(parent.borrow(), mount_name,
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, O_NOFOLLOW);
    if (!point.valid()) {
        return fail(ErrorCode::internal, errno_message("the container's /run/iommud", errno));
    }
    return point;
}

Result<void> mount_in(BorrowedFd namespace_fd, const std::string& root, BorrowedFd mount) {
    if (::setns(namespace_fd.get(), CLONE_NEWNS) != 0) {
        return fail(ErrorCode::internal, errno_message("enter the container's mount namespace", errno));
    }
    const UniqueFd root_fd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root_fd.valid()) {
        return fail(ErrorCode::internal, errno_message("the container's root " + root, errno));
    }
    const Result<UniqueFd> point = mount_point(root_fd.borrow());
    if (!point) {
        return tl::unexpected(point.error());
    }
    if (::syscall(SYS_move_mount, mount.get(), "", point->get(), "",
                  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
        return fail(ErrorCode::internal, errno_message("mount at the container's /run/iommud", errno));
    }
    return {};
}

}  // namespace iommud::hook
