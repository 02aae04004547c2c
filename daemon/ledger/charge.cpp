#include "daemon/ledger/charge.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/base/bytes.hpp"
#include "daemon/ledger/ledger.hpp"

namespace iommud {

Charge::~Charge() {
    if (ledger_ != nullptr) {
        ledger_->discharge(*this);
    }
}

Result<void> Charge::extend(std::uint32_t devices) {
    if (ledger_ == nullptr) {
        return fail(ErrorCode::internal, "an empty charge cannot be extended");
    }
    if (auto extended = ledger_->extend(uid_, devices); !extended) {
        return extended;
    }
    devices_ += devices;  // no overflow: the account's count, which the ledger has checked, contains this one
    return {};
}

void Charge::withdraw(std::uint32_t devices) {
    const std::uint32_t back = std::min(devices, devices_);
    if (ledger_ != nullptr) {
        ledger_->withdraw(uid_, back);
    }
    devices_ -= back;
}

Result<void> Charge::set_mapped(std::uint64_t bytes) {
    if (ledger_ == nullptr) {
        return fail(ErrorCode::internal, "an empty charge has nothing mapped");
    }
    if (direct_ && bytes != 0) {
        return fail(ErrorCode::internal, "a keeper says that it has mapped memory on a direct lease");
    }
    // memory_ is whole pages: what is not above it is not above it when rounded up either.
    if (bytes > memory_) {
        return fail(ErrorCode::internal,
                    fmt::format("a keeper says that it has mapped {} bytes of {} reserved", bytes, memory_));
    }
    const std::uint64_t pages = page_align_up(bytes);
    ledger_->remap(uid_, mapped_, pages);
    mapped_ = pages;
    return {};
}

}  // namespace iommud
