#include "daemon/monitor/container_marks.hpp"

#include <fmt/format.h>

#include "daemon/monitor/identity.hpp"

namespace iommud::monitor {
namespace {

tl::unexpected<Error> refused(const ContainerMark& mark, const std::string& path, const char* where) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the cgroup {} {} of container {}, {}: a container needs one of its own, and a cgroup is a "
                            "container's for as long as it exists",
                            path, where, mark.container, mark.path));
}

}  // namespace

const ContainerMark* ContainerMarks::innermost(const std::vector<CgroupId>& ids) const {
    for (const CgroupId id : ids) {
        if (const auto found = marks_.find(id); found != marks_.end()) {
            return &found->second;
        }
    }
    return nullptr;
}

Result<void> ContainerMarks::may_mark(const std::vector<CgroupId>& ids, const std::string& path,
                                      const std::string& id) const {
    if (path.size() > longest_path) {
        return fail(ErrorCode::invalid_argument, fmt::format("the path of the container's cgroup has {} bytes, at most "
                                                             "{} are taken",
                                                             path.size(), longest_path));
    }
    for (std::size_t level = 0; level < ids.size(); ++level) {
        const auto found = marks_.find(ids[level]);
        if (found != marks_.end() && found->second.container != id) {
            return refused(found->second, path, level == 0 ? "is that" : "lies below that");
        }
    }
    for (const auto& [cgroup, mark] : marks_) {
        if (mark.container != id && mark.path.starts_with(path + "/")) {
            return refused(mark, path, "lies above that");
        }
    }
    if (marks_.size() >= most && !marks_.contains(ids.front())) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("the daemon remembers {} cgroups of containers and cannot remember more: remove the "
                                "cgroups of containers that have ended",
                                most));
    }
    return {};
}

void ContainerMarks::add(ContainerMark mark) {
    const CgroupId cgroup = mark.cgroup;
    marks_[cgroup] = std::move(mark);
}

std::vector<ContainerMark> ContainerMarks::collect(const std::function<bool(const ContainerMark&)>& gone) {
    std::vector<ContainerMark> collected;
    std::erase_if(marks_, [&gone, &collected](const auto& entry) {
        if (entry.second.path.empty() || !gone(entry.second)) {
            return false;
        }
        collected.push_back(entry.second);
        return true;
    });
    return collected;
}

Result<void> admits(const ContainerMarks& marks, const Identity& who, const EndpointRecord* via,
                    const ProcessTable& table) {
    if (via == nullptr && marks.empty()) {
        return {};  // nobody has been in a container since boot
    }
    const auto ids = who.pidfd.valid() ? table.cgroup_ids(who.cgroup)
                                       : fail(ErrorCode::internal, "the kernel does not say which process it is");
    const bool in_root = who.pidfd.valid() && who.cgroup == "/";
    // Looked at by number and path: worth something only if it was still that process.
    if ((!ids && !in_root) || !table.still_runs(who.pidfd.borrow())) {
        return fail(ErrorCode::access_denied, "which container it is in, if any, cannot be told");
    }
    const ContainerMark* mark = ids ? marks.innermost(*ids) : nullptr;
    if (via == nullptr) {
        return mark == nullptr ? Result<void>()
                               : fail(ErrorCode::access_denied,
                                      fmt::format("it is of container {}, which has a socket of its own, or had one",
                                                  mark->container));
    }
    if (mark == nullptr || mark->cgroup != via->cgroup) {
        return fail(ErrorCode::access_denied,
                    fmt::format("it is {}, and this is container {}'s endpoint",
                                mark == nullptr ? "of no container" : "of container " + mark->container, via->id));
    }
    return {};
}

}  // namespace iommud::monitor
