// A process table in which a process exits between two looks, or of a kernel before 6.5.
#pragma once

#include <cerrno>
#include <map>
#include <optional>
#include <string>

#include "daemon/monitor/process_table.hpp"

namespace iommud::monitor {

class FakeProcesses : public ProcessTable {
  public:
    bool has_pidfds = true;
    bool nested = false;
    std::optional<pid_t> number;               // of every pidfd; nothing: the running kernel's word
    std::map<std::string, std::string> files;  // in place of those of /proc
    std::map<std::string, std::vector<CgroupId>> cgroups;
    std::string exits_at;  // the process has exited when the file has been read whose path ends so

    [[nodiscard]] UniqueFd peer_pidfd(BorrowedFd socket) const override {
        if (!has_pidfds) {
            errno = ENOPROTOOPT;
            return {};
        }
        return ProcessTable::peer_pidfd(socket);
    }
    [[nodiscard]] std::optional<ProcessNumber> number_of(BorrowedFd pidfd) const override {
        return number ? std::optional(ProcessNumber{*number, nested}) : ProcessTable::number_of(pidfd);
    }
    [[nodiscard]] std::string read(const std::string& path) const override {
        const auto found = files.find(path);
        std::string text = found != files.end() ? found->second : ProcessTable::read(path);
        look_at(path);
        return text;
    }
    [[nodiscard]] Result<std::vector<CgroupId>> cgroup_ids(const std::string& path) const override {
        look_at(path);
        const auto found = cgroups.find(path);
        return found != cgroups.end() ? Result<std::vector<CgroupId>>(found->second)
                                      : fail(ErrorCode::internal, "no such cgroup");
    }
    [[nodiscard]] bool still_runs(BorrowedFd pidfd) const override {
        return !exited_ && ProcessTable::still_runs(pidfd);
    }

  private:
    void look_at(const std::string& path) const {
        exited_ = exited_ || (!exits_at.empty() && path.ends_with(exits_at));
    }
    mutable bool exited_ = false;
};

}  // namespace iommud::monitor
