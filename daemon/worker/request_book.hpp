// Requests that wait for the monitor's answer: a client cannot make more of them than this.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/base/result.hpp"
#include "daemon/ipc/worker_messages.hpp"
#include "daemon/worker/bus.hpp"
#include "daemon/worker/delivery.hpp"

namespace iommud::worker {

inline constexpr std::size_t most_pending = 64;  // of one connection
// Of all there are on the system bus, where each sender and each uid has a bound of its own, see Senders.
inline constexpr std::size_t most_pending_on_bus = 512;

enum class RequestKind {
    acquire,
    add,
    explain,
    accounts,
    release,
    revoke,
    reload,
    policy,
    lease_property,
    open_endpoint,
    close_endpoint
};

struct Pending {
    RequestKind kind = RequestKind::acquire;
    MessagePtr call;                          // the D-Bus call that waits
    std::vector<PciAddress> devices;          // acquire, add: what was asked for
    LeaseId lease = 0;                        // acquire, add: known once a delivery is coming
    std::optional<ipc::LeaseView> view;       // acquire, add: the same; none when the lease has ended since
    std::unique_ptr<DeliveryWait> wait;       // acquire, add: where the keeper will write
    ipc::ExplainRequest question;             // explain: what was asked
    ipc::ExplainEntries explain;              // explain: what has come so far
    std::vector<ipc::AccountEntry> accounts;  // accounts: what has come so far
    ipc::PolicyEntries policy;                // policy: what has come so far
    ipc::Bytes frame;                         // on the system bus: what is asked once it is known by whom
    // lease_property: the answer to whoever it is.
    std::function<Result<MessagePtr>(sd_bus_message* call, std::uint32_t uid)> answer;
};

class RequestBook {
  public:
    explicit RequestBook(std::size_t most = most_pending) : most_(most) {}
    // The new request's cookie; InvalidArgument when as many wait already.
    [[nodiscard]] Result<std::uint64_t> open(Pending pending);
    // Null: answered already, as when a keeper's delivery and the monitor's failure cross. Throws Fatal for a cookie
    // that was never given out: the monitor made it up.
    [[nodiscard]] Pending* find(std::uint64_t cookie);
    // As find(), and Fatal when the request is not of one of `kinds`.
    [[nodiscard]] Pending* find(std::uint64_t cookie, std::initializer_list<RequestKind> kinds);
    void close(std::uint64_t cookie) { pending_.erase(cookie); }
    // The lease has ended: what was announced of it counts no more.
    void forget_view(LeaseId lease);
    [[nodiscard]] std::size_t size() const { return pending_.size(); }

  private:
    std::size_t most_;
    std::map<std::uint64_t, Pending> pending_;
    std::uint64_t next_ = 1;
};

}  // namespace iommud::worker
