#include "daemon/worker/request_book.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace iommud::worker {

Result<std::uint64_t> RequestBook::open(Pending pending) {
    if (pending_.size() >= most_) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{} requests of this connection are waiting for an answer, more are not taken", most_));
    }
    const std::uint64_t cookie = next_++;
    pending_.emplace(cookie, std::move(pending));
    return cookie;
}

Pending* RequestBook::find(std::uint64_t cookie) {
    if (cookie == 0 || cookie >= next_) {
        throw Fatal(fmt::format("the monitor answers request {}, which was never made", cookie));
    }
    const auto known = pending_.find(cookie);
    return known == pending_.end() ? nullptr : &known->second;
}

void RequestBook::forget_view(LeaseId lease) {
    for (auto& [cookie, pending] : pending_) {
        if (pending.lease == lease) {
            pending.view.reset();
        }
    }
}

Pending* RequestBook::find(std::uint64_t cookie, std::initializer_list<RequestKind> kinds) {
    Pending* const pending = find(cookie);
    if (pending != nullptr && std::find(kinds.begin(), kinds.end(), pending->kind) == kinds.end()) {
        throw Fatal(fmt::format("the monitor's answer to request {} is of another kind", cookie));
    }
    return pending;
}

}  // namespace iommud::worker
