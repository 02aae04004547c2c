// The D-Bus replies of requests that the monitor has answered. All throw Fatal.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/ipc/channel.hpp"
#include "daemon/ipc/worker_messages.hpp"
#include "daemon/worker/bus.hpp"
#include "daemon/worker/replica.hpp"

namespace iommud::worker {

[[nodiscard]] MessagePtr empty_reply(sd_bus_message* call);
// (o lease, a(sh) fds, a{sv} info), with copies of `fds`, whose names are `names`.
[[nodiscard]] MessagePtr acquire_reply(sd_bus_message* call, LeaseId lease, const std::vector<std::string>& names,
                                       const std::vector<UniqueFd>& fds, const std::vector<PciAddress>& devices,
                                       const Replica& replica);
// (a(sh) fds)
[[nodiscard]] MessagePtr add_reply(sd_bus_message* call, const std::vector<std::string>& names,
                                   const std::vector<UniqueFd>& fds);
// (b allowed, s decision, aa{sv} trace)
[[nodiscard]] MessagePtr explain_reply(sd_bus_message* call, const ipc::ExplainEntries& entries);
// (s path)
[[nodiscard]] MessagePtr endpoint_reply(sd_bus_message* call, const std::string& path);
// (aa{sv} entries)
[[nodiscard]] MessagePtr policy_reply(sd_bus_message* call, const ipc::PolicyEntries& policy);
// (aa{sv} accounts)
[[nodiscard]] MessagePtr accounts_reply(sd_bus_message* call, const std::vector<ipc::AccountEntry>& accounts);

}  // namespace iommud::worker
