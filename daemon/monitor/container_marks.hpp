// Which cgroups are, or were, a container's. A mark stays for as long as the cgroup's id exists, whatever becomes of
// endpoint, init, monitor or vault: who is in such a cgroup is a container's process (C28). Pure values.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/monitor/endpoint.hpp"
#include "daemon/monitor/process_table.hpp"

namespace iommud::monitor {

struct Identity;

// What the vault keeps of one, by value: in a file that outlives the vault, too.
struct ContainerMark {
    CgroupId cgroup = 0;
    // Below the hierarchy's root. A cgroup is never renamed (version 2 refuses it), so that this is where it is for as
    // long as it is. Empty: not known, and the mark stays until the next boot.
    std::string path;
    std::string container;  // the endpoint's id
    auto operator<=>(const ContainerMark&) const = default;
    auto fields() { return std::tie(cgroup, path, container); }
};

class ContainerMarks {
  public:
    static constexpr std::size_t most = 1536;         // more than endpoints: containers that have left processes behind
    static constexpr std::size_t longest_path = 512;  // so that as many fit into the vault's file

    // The mark of the innermost of these cgroups that has one: that container decides. nullptr: none has.
    [[nodiscard]] const ContainerMark* innermost(const std::vector<CgroupId>& ids) const;

    // Whether container `id` may have an endpoint for the cgroup `ids.front()` at `path`: nobody else's cgroup is, or
    // was, that one, one above or one below, and there is room. Error: invalid_argument.
    [[nodiscard]] Result<void> may_mark(const std::vector<CgroupId>& ids, const std::string& path,
                                        const std::string& id) const;
    void add(ContainerMark mark);

    // Forgets the marks whose cgroup is gone, by `gone`, and returns those.
    std::vector<ContainerMark> collect(const std::function<bool(const ContainerMark&)>& gone);

    [[nodiscard]] bool empty() const { return marks_.empty(); }
    [[nodiscard]] std::size_t size() const { return marks_.size(); }
    [[nodiscard]] bool contains(CgroupId cgroup) const { return marks_.contains(cgroup); }

  private:
    std::map<CgroupId, ContainerMark> marks_;
};

// Whether `who` has business at the socket of `via`, or without one at the host's: a container's processes at its own,
// where the innermost container counts, and all others at the host's. In doubt nobody has. Error: access_denied.
[[nodiscard]] Result<void> admits(const ContainerMarks& marks, const Identity& who, const EndpointRecord* via,
                                  const ProcessTable& table = processes());

}  // namespace iommud::monitor
