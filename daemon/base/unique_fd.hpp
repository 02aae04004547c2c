// Owned and borrowed file descriptors. A raw int descriptor lives in base/ and kernel/ only.
#pragma once

#include <unistd.h>

#include <utility>

namespace iommud {

// Closes at once. May wait: a close of the last copy of a socket also closes what lies unread in it (hazard C20).
inline void close_here(int fd) {
    ::close(fd);
}

// How this process closes. Monitor and vault, which never wait, set both to have an undertaker do it
// (daemon/undertaker/burial.hpp); every other process closes by itself.
struct Closing {
    void (*own)(int fd) = close_here;      // a descriptor that this process made, or that one of ours sent
    void (*strange)(int fd) = close_here;  // one that came with a message and that nobody took: it may be any file
};
inline Closing closing;

// A descriptor that somebody else owns and that outlives this value.
class BorrowedFd {
  public:
    constexpr BorrowedFd() = default;
    constexpr explicit BorrowedFd(int fd) : fd_(fd) {}
    [[nodiscard]] constexpr int get() const { return fd_; }
    [[nodiscard]] constexpr bool valid() const { return fd_ >= 0; }

  private:
    int fd_ = -1;
};

// A descriptor owned by this value and closed with it. Closing the last copy of a device's descriptor resets the
// device and may take a minute: only keepers own those.
class UniqueFd {
  public:
    constexpr UniqueFd() = default;
    constexpr explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) {
            reset(std::exchange(other.fd_, -1));
        }
        return *this;
    }
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() { reset(); }

    [[nodiscard]] constexpr int get() const { return fd_; }
    [[nodiscard]] constexpr bool valid() const { return fd_ >= 0; }
    [[nodiscard]] constexpr BorrowedFd borrow() const { return BorrowedFd(fd_); }
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }
    void reset(int fd = -1) {
        if (fd_ >= 0) {
            closing.own(fd_);
        }
        fd_ = fd;
    }

  private:
    int fd_ = -1;
};

}  // namespace iommud
