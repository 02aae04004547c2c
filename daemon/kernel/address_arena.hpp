// Addresses of this process at which clients' memory is mapped for the kernel to pin. A client with a bound device may
// detach and attach it, and the kernel then pins *whatever lies at the address* of each map (hazard C1). So memory
// stays where it is until the kernel has unmapped it, and only then is its place used again.
#pragma once

#include <cstdint>

#include "daemon/kernel/context.hpp"
#include "daemon/kernel/locked_array.hpp"

namespace iommud::kernel {

class AddressArena {
  public:
    static constexpr std::uint64_t size = std::uint64_t{1} << 44;  // 16 TiB of the 128 TiB there are

    AddressArena() = default;
    // For `most` places at a time.
    explicit AddressArena(std::uint32_t most) : used_(most) {}
    AddressArena(AddressArena&& other) noexcept;
    AddressArena& operator=(AddressArena&&) = delete;
    AddressArena(const AddressArena&) = delete;
    AddressArena& operator=(const AddressArena&) = delete;
    ~AddressArena();

    // Takes the addresses, without memory behind them. Call after locking memory: the limit counts addresses. An errno.
    [[nodiscard]] int reserve();

    // Puts the range of `request` at the lowest place where it fits and nothing lies, which is counted in pages from
    // the arena's begin and never 0; every page of it is there afterwards. An errno, with nothing put: EACCES, EPERM:
    // the file may not be read or written so; EFAULT: a page cannot be had (beyond the file's end, no room left);
    // ENOMEM: the memory cgroup is full, or there are too many maps. Waits for what docs/PRIVSEP.md says of mmap and
    // madvise.
    [[nodiscard]] int put(const MapRequest& request, std::uint32_t& place);
    [[nodiscard]] std::uint64_t address_of(std::uint32_t place) const;

    // Takes memory away again, when the kernel has unmapped it: the place may be used again. Nothing for place 0.
    void retire(std::uint32_t place, std::uint64_t length);

  private:
    struct Range {
        std::uint32_t place;
        std::uint32_t pages;
        [[nodiscard]] std::uint64_t end() const { return std::uint64_t{place} + pages; }
    };

    [[nodiscard]] std::uint64_t lowest_place(std::uint64_t pages, std::uint64_t alignment, std::size_t& index) const;
    void clear(std::uint64_t address, std::uint64_t length) const;

    std::uint64_t taken_ = 0;  // where what was reserved begins, which is a GiB more than the arena
    std::uint64_t base_ = 0;
    LockedArray<Range> used_;  // in order of place, none over another
    std::size_t count_ = 0;
    std::size_t packed_ = 0;  // between the first so many ranges nothing is free
};

}  // namespace iommud::kernel
