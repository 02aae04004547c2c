// Memory that a keeper takes for a map: a memfd that cannot change its size, with every page there and touched.
#pragma once

#include <cstddef>

#include "client/lib/failure.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::lib {

class DmaMemory {
  public:
    // `flags`: enum iommud_memory_flags; `length` is rounded up to whole pages of that kind.
    [[nodiscard]] static Outcome<DmaMemory> create(std::size_t length, std::uint32_t flags);

    DmaMemory(DmaMemory&& other) noexcept;
    DmaMemory(const DmaMemory&) = delete;
    DmaMemory& operator=(const DmaMemory&) = delete;
    DmaMemory& operator=(DmaMemory&&) = delete;
    ~DmaMemory();

    [[nodiscard]] std::byte* address() const { return address_; }
    [[nodiscard]] std::size_t length() const { return length_; }
    [[nodiscard]] BorrowedFd fd() const { return memfd_.borrow(); }

  private:
    DmaMemory(UniqueFd memfd, std::byte* address, std::size_t length)
        : memfd_(std::move(memfd)), address_(address), length_(length) {}

    UniqueFd memfd_;
    std::byte* address_;
    std::size_t length_;
};

}  // namespace iommud::lib
