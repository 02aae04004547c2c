// What one lease owes. Its destructor gives everything back, so it is destroyed when the kernel has let go (I5).
#pragma once

#include <cstdint>
#include <utility>

#include "daemon/base/result.hpp"

namespace iommud {

class Ledger;

class Charge {
  public:
    Charge() = default;  // owes nothing
    Charge(Charge&& other) noexcept { swap(other); }
    Charge& operator=(Charge&& other) noexcept {
        Charge(std::move(other)).swap(*this);
        return *this;
    }
    Charge(const Charge&) = delete;
    Charge& operator=(const Charge&) = delete;
    ~Charge();

    [[nodiscard]] bool valid() const { return ledger_ != nullptr; }
    [[nodiscard]] std::uint32_t account_uid() const { return uid_; }
    [[nodiscard]] std::uint64_t memory() const { return memory_; }  // bytes reserved, whole pages
    [[nodiscard]] std::uint64_t mapped() const { return mapped_; }  // bytes
    [[nodiscard]] std::uint32_t devices() const { return devices_; }
    [[nodiscard]] bool direct() const { return direct_; }

    // Hotplug: charges further devices to the same lease. Error: device_limit, and nothing has changed.
    [[nodiscard]] Result<void> extend(std::uint32_t devices);

    // The extension came to nothing. Gives back at most what the lease has.
    void withdraw(std::uint32_t devices);

    // What the keeper says it has mapped. More than is reserved, or anything on a direct lease, is a lie: an error
    // (internal), nothing has changed, and the caller kills the keeper (I4).
    [[nodiscard]] Result<void> set_mapped(std::uint64_t bytes);

  private:
    friend class Ledger;
    void swap(Charge& other) noexcept {
        std::swap(ledger_, other.ledger_);
        std::swap(uid_, other.uid_);
        std::swap(memory_, other.memory_);
        std::swap(mapped_, other.mapped_);
        std::swap(devices_, other.devices_);
        std::swap(direct_, other.direct_);
    }

    Ledger* ledger_ = nullptr;
    std::uint32_t uid_ = 0;
    std::uint64_t memory_ = 0;
    std::uint64_t mapped_ = 0;
    std::uint32_t devices_ = 0;
    bool direct_ = false;
};

}  // namespace iommud
