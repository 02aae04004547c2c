// Addresses of this process at which clients' memory is mapped, for kernels that map by address. Each address is used
// once: a client with a bound device may detach and attach it, and the kernel then pins *whatever lies at the address*
// (hazard C1). So memory stays where it is until the kernel has unmapped it, and afterwards nothing ever lies there.
#pragma once

#include <cstdint>

#include "daemon/kernel/context.hpp"

namespace iommud::kernel {

class AddressArena {
  public:
    static constexpr std::uint64_t size = std::uint64_t{1} << 44;  // 16 TiB of the 128 TiB there are

    AddressArena() = default;
    AddressArena(const AddressArena&) = delete;
    AddressArena& operator=(const AddressArena&) = delete;
    ~AddressArena();

    // Takes the addresses, without memory behind them. Call after locking memory: the limit counts addresses.
    [[nodiscard]] int reserve();

    // Puts the range of `request` at a fresh place, which is counted in pages from the arena's begin and never 0. An
    // errno; ENOMEM when the arena is used up.
    [[nodiscard]] int put(const MapRequest& request, std::uint32_t& place);
    [[nodiscard]] std::uint64_t address_of(std::uint32_t place) const;

    // Takes memory away again, for good. Nothing for place 0.
    void retire(std::uint32_t place, std::uint64_t length);

  private:
    std::uint64_t base_ = 0;
    std::uint64_t next_ = 0;
};

}  // namespace iommud::kernel
