// An array that grows up to a size that was said before, and never moves. Each part of it is there and locked before it
// is used, so that no use is a first touch, which would wait for ever in a memory cgroup that is full (hazard C14).
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include "daemon/base/bytes.hpp"

namespace iommud::kernel {

enum class Locking { locked, unlocked };  // unlocked: without a kernel behind it, where nothing is locked

template <class T>
class LockedArray {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    LockedArray() = default;
    // Takes addresses for `most`, and no memory. Where there are none left, grow() fails.
    explicit LockedArray(std::size_t most, Locking locking = Locking::locked)
        : most_(most), locked_(locking == Locking::locked) {
        void* const at = most == 0 ? MAP_FAILED
                                   : ::mmap(nullptr, most * sizeof(T), PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        at_ = at == MAP_FAILED ? nullptr : static_cast<T*>(at);
    }
    LockedArray(LockedArray&& other) noexcept { swap(other); }
    LockedArray& operator=(LockedArray&& other) noexcept {
        swap(other);
        return *this;
    }
    LockedArray(const LockedArray&) = delete;
    LockedArray& operator=(const LockedArray&) = delete;
    ~LockedArray() {
        if (at_ != nullptr) {
            ::munmap(at_, most_ * sizeof(T));
        }
    }

    [[nodiscard]] std::size_t most() const { return most_; }
    [[nodiscard]] T* begin() { return at_; }
    [[nodiscard]] const T* begin() const { return at_; }
    [[nodiscard]] T& operator[](std::size_t index) { return at_[index]; }
    [[nodiscard]] const T& operator[](std::size_t index) const { return at_[index]; }
    [[nodiscard]] std::span<const T> first(std::size_t count) const { return {at_, count}; }

    // Makes the first `count` usable. False, with all as it was: beyond the size, or there is no memory, or the limit
    // of locked memory is reached. Waits for no one: mlock fails where a touch would spin.
    [[nodiscard]] bool grow(std::size_t count) {
        const std::size_t wanted = count * sizeof(T);
        if (count > most_ || at_ == nullptr) {
            return false;
        }
        if (wanted <= usable_) {
            return true;
        }
        const std::size_t next =
            std::min((wanted + step - 1) / step * step, (most_ * sizeof(T) + page_size - 1) / page_size * page_size);
        auto* const bytes = reinterpret_cast<std::byte*>(at_);
        if (locked_ && ::mlock(bytes + usable_, next - usable_) != 0) {
            return false;
        }
        usable_ = next;
        return true;
    }

  private:
    static constexpr std::size_t step = 64 * KiB;  // whole pages of any kernel's

    void swap(LockedArray& other) noexcept {
        std::swap(at_, other.at_);
        std::swap(most_, other.most_);
        std::swap(usable_, other.usable_);
        std::swap(locked_, other.locked_);
    }

    T* at_ = nullptr;
    std::size_t most_ = 0;
    std::size_t usable_ = 0;  // bytes, whole pages
    bool locked_ = true;
};

}  // namespace iommud::kernel
