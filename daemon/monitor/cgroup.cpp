#include "daemon/monitor/cgroup.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>

#include "daemon/base/unique_fd.hpp"

namespace iommud::monitor {
namespace {

// The number of a cgroup's folder is the kernel's 64-bit id of it (kernfs), which counts up and is never given again.
Result<CgroupId> id_of(const std::string& folder) {
    const UniqueFd fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct statfs file_system {};
    struct stat status {};
    if (!fd.valid() || ::fstatfs(fd.get(), &file_system) != 0 || ::fstat(fd.get(), &status) != 0) {
        return fail(ErrorCode::internal, errno_message(folder, errno));
    }
    if (file_system.f_type != CGROUP2_SUPER_MAGIC) {
        return fail(ErrorCode::kernel_unsupported,
                    folder + " is no cgroup of version 2: boot with the unified hierarchy");
    }
    return status.st_ino;
}

}  // namespace

bool cgroup_gone(const std::string& path, CgroupId id, const std::string& root) {
    const UniqueFd hierarchy(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    struct statfs file_system {};
    struct stat status {};
    // Not surely where nothing is mounted, or where descriptors have run out.
    if (!hierarchy.valid() || ::fstatfs(hierarchy.get(), &file_system) != 0 ||
        file_system.f_type != CGROUP2_SUPER_MAGIC) {
        return false;
    }
    return ::lstat((root + path).c_str(), &status) == 0 ? status.st_ino != id : errno == ENOENT;
}

std::string unified_path(std::string_view text) {
    constexpr std::string_view key = "0::/";
    // The only line where version 2 is the only one: the name of a cgroup has no newline.
    if (!text.starts_with(key) || text.find('\n') != text.size() - 1) {
        return {};
    }
    return std::string(text.substr(key.size() - 1, text.size() - key.size()));
}

Result<std::vector<CgroupId>> cgroup_ids(const std::string& path, const std::string& root) {
    std::vector<CgroupId> ids;
    if ((path + "/").find("/../") != std::string::npos) {
        return fail(ErrorCode::internal, "the cgroup is outside of this process's cgroup namespace");
    }
    // Any user may nest his own as deep as a path is long, and each look goes down from the root.
    constexpr std::ptrdiff_t deepest = 32;
    if (std::count(path.begin(), path.end(), '/') > deepest) {
        return fail(ErrorCode::internal, fmt::format("the cgroup lies deeper than {} levels", deepest));
    }
    for (std::string at = path; at.size() > 1; at.resize(at.rfind('/'))) {
        const Result<CgroupId> id = id_of(root + at);
        if (!id) {
            return tl::unexpected(id.error());
        }
        ids.push_back(*id);
    }
    if (ids.empty()) {
        return fail(ErrorCode::internal, "in no cgroup but the root");
    }
    return ids;
}

}  // namespace iommud::monitor
