// Where it is looked up who a process is: the kernel. A seam, so that a test can have a process exit between two looks,
// or a kernel without SO_PEERPIDFD.
#pragma once

#include <string>
#include <vector>

#include "daemon/base/pidfd.hpp"
#include "daemon/base/result.hpp"
#include "daemon/monitor/cgroup.hpp"

namespace iommud::monitor {

class ProcessTable {
  public:
    ProcessTable() = default;
    virtual ~ProcessTable() = default;
    ProcessTable(const ProcessTable&) = delete;
    ProcessTable& operator=(const ProcessTable&) = delete;
    ProcessTable(ProcessTable&&) = delete;
    ProcessTable& operator=(ProcessTable&&) = delete;

    [[nodiscard]] virtual UniqueFd peer_pidfd(BorrowedFd socket) const { return iommud::peer_pidfd(socket); }
    [[nodiscard]] virtual std::optional<ProcessNumber> number_of(BorrowedFd pidfd) const {
        return iommud::number_of(pidfd);
    }
    // The text of a file in /proc, as read_proc().
    [[nodiscard]] virtual std::string read(const std::string& path) const { return read_proc(path); }
    [[nodiscard]] virtual Result<std::vector<CgroupId>> cgroup_ids(const std::string& path) const {
        return monitor::cgroup_ids(path);
    }
    [[nodiscard]] virtual bool still_runs(BorrowedFd pidfd) const { return iommud::still_runs(pidfd); }
};

// The running kernel.
[[nodiscard]] inline const ProcessTable& processes() {
    static const ProcessTable the_kernels;
    return the_kernels;
}

}  // namespace iommud::monitor
