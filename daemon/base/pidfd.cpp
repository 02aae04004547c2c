#include "daemon/base/pidfd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <charconv>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // asm-generic/socket.h of Linux 6.5
#endif

namespace iommud {

std::string read_proc(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(16 * 1024, '\0');
    const ssize_t size = fd.valid() ? ::read(fd.get(), text.data(), text.size()) : -1;
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
}

bool still_runs(BorrowedFd pidfd) {
    pollfd entry{pidfd.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 0;
}

std::optional<ProcessNumber> parse_pidfd_info(std::string_view info) {
    constexpr std::string_view key = "Pid:\t";
    constexpr std::string_view nested_key = "NSpid:\t";  // one number for each pid namespace, ours first
    const auto line = [&info](std::string_view name) {
        const std::size_t at = info.starts_with(name) ? 0 : info.find("\n" + std::string(name));
        if (at == std::string_view::npos) {
            return std::string_view();
        }
        const std::string_view rest = info.substr(info.find(name, at) + name.size());
        return rest.substr(0, rest.find('\n'));
    };
    const std::string_view digits = line(key);
    ProcessNumber number;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number.pid);
    // -1: reaped; 0: in a pid namespace that is not below ours
    if (error != std::errc{} || number.pid <= 0) {
        return std::nullopt;
    }
    number.nested = line(nested_key).find('\t') != std::string_view::npos;
    return number;
}

std::optional<ProcessNumber> number_of(BorrowedFd pidfd) {
    return parse_pidfd_info(read_proc(fmt::format("/proc/self/fdinfo/{}", pidfd.get())));
}

UniqueFd peer_pidfd(BorrowedFd socket) {
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0 ? UniqueFd(pidfd) : UniqueFd();
}

uid_t peer_uid(BorrowedFd socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.uid : static_cast<uid_t>(-1);
}

}  // namespace iommud
