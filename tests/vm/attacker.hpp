// What an account may try on a managed lease that it holds, from C++ because it needs threads: attacker.cpp says what.
// Errors are std::system_error.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "client/lib/include/iommud/lease_channel.h"
#include "edu.hpp"

namespace iommud::test {

constexpr std::uint64_t page = 4096;

class Fd {
  public:
    explicit Fd(int fd = -1) : x_fd(fd) {}
    Fd(Fd&& other) noexcept : x_fd(std::exchange(other.x_fd, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(x_fd, other.x_fd);
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() {
        if (x_fd >= 0) {
            ::close(x_fd);
        }
    }
    [[nodiscard]] int get() const { return x_fd; }

  private:
    int x_fd;
};

// Sealed against shrinking and growing, every page touched.
inline Fd make_memory(std::uint64_t size, unsigned flags = 0) {
    Fd memory(check(::memfd_create("dma", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags), "memfd_create"));
    check(::ftruncate(memory.get(), static_cast<off_t>(size)), "ftruncate");
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    if (at == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "mmap");
    }
    std::memset(at, 1, size);
    ::munmap(at, size);
    check(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), "seal");
    return memory;
}

// Has many free pages hold what no page of this client's ever did, so that one that nobody has cleared is known by it.
inline void dirty_free_pages(std::uint64_t size = 64 << 20) {
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "mmap");
    }
    ::madvise(at, size, MADV_NOHUGEPAGE);  // pages of the size that a file is given
    std::memset(at, 0xee, size);
    ::munmap(at, size);
}

// One lease channel. Threads may share it: each request has one answer, whoever reads it.
class Channel {
  public:
    explicit Channel(int fd) : x_socket(fd) {}

    // False when the lease has ended.
    bool send(const iommud_request& request, int fd = -1) const {
        iovec data{const_cast<iommud_request*>(&request), sizeof request};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        if (fd >= 0) {
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            cmsghdr* const header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof fd);
            std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
        }
        return ::sendmsg(x_socket.get(), &message, MSG_NOSIGNAL) >= 0;
    }

    // The next answer, whatever it is of; nothing when the lease has ended. Descriptors in it are closed.
    [[nodiscard]] std::optional<iommud_query_reply> receive() const {
        for (;;) {
            iommud_query_reply reply{};
            iovec data{&reply, sizeof reply};
            alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
            msghdr message{};
            message.msg_iov = &data;
            message.msg_iovlen = 1;
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            const ssize_t size = ::recvmsg(x_socket.get(), &message, MSG_CMSG_CLOEXEC);
            if (size <= 0) {
                return std::nullopt;
            }
            if (const cmsghdr* const header = CMSG_FIRSTHDR(&message); header != nullptr) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
                ::close(fd);
            }
            if (reply.kind == IOMMUD_REPLY || reply.kind == IOMMUD_QUERY_REPLY) {
                return reply;
            }
        }
    }

    [[nodiscard]] std::optional<iommud_query_reply> call(const iommud_request& request, int fd = -1) const {
        return send(request, fd) ? receive() : std::nullopt;
    }
    // 0, an iommud_error, or -1 when the lease has ended.
    [[nodiscard]] int map(int fd, std::uint64_t length, std::optional<std::uint64_t> iova = std::nullopt) const {
        return error_of(call(map_request(length, iova), fd));
    }
    [[nodiscard]] int unmap_all() const { return error_of(call({IOMMUD_UNMAP, IOMMUD_UNMAP_ALL, 0, 0, 0, 0})); }
    void close() { x_socket = Fd(); }

    static iommud_request map_request(std::uint64_t length, std::optional<std::uint64_t> iova) {
        std::uint32_t flags = IOMMUD_MAP_READ | IOMMUD_MAP_WRITE;
        flags |= iova ? std::uint32_t{IOMMUD_MAP_FIXED} : 0U;
        return {IOMMUD_MAP, flags, 0, 0, length, iova.value_or(0)};
    }

  private:
    static int error_of(const std::optional<iommud_query_reply>& reply) {
        return reply ? static_cast<int>(reply->error) : -1;
    }
    Fd x_socket;
};

// Both run for `seconds`, and say what happened in a few words.
std::string race(const Channel& channel, unsigned seconds, unsigned seed);
std::string replace_memory(const Channel& channel, unsigned seconds, unsigned seed);

// What the device sees of pages that were freed by others (attacker_stale.cpp).
std::string stale_by_attach(const Channel& channel, int device);
std::string stale_by_race(const Channel& channel, int device, unsigned tries);

}  // namespace iommud::test
