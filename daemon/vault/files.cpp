#include "daemon/vault/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace iommud::vault {

Result<std::string> read_small(const std::string& path) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(std::size_t{64} * 1024, '\0');
    const ssize_t size = file.valid() ? ::read(file.get(), text.data(), text.size()) : -1;
    if (size < 0) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    text.resize(static_cast<std::size_t>(size));
    if (text.ends_with('\n')) {
        text.pop_back();
    }
    return text;
}

Result<std::string> read_whole(const std::string& path) {
    constexpr std::size_t most = std::size_t{16} << 20;
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) {
        return errno == ENOENT ? Result<std::string>(std::string())
                               : fail(ErrorCode::internal, errno_message(path, errno));
    }
    std::string text;
    std::array<char, 65536> part;
    for (ssize_t size = 0; (size = ::read(file.get(), part.data(), part.size())) != 0;) {
        if (size < 0) {
            return fail(ErrorCode::internal, errno_message(path, errno));
        }
        text.append(part.data(), static_cast<std::size_t>(size));
        if (text.size() > most) {
            return fail(ErrorCode::internal, fmt::format("{}: longer than {} bytes", path, most));
        }
    }
    return text;
}

Result<void> write_small(const std::string& path, std::string_view text) {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    return {};
}

UniqueFd open_own(const std::string& path) {
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
    struct stat status {};
    if (!file.valid() || ::fstat(file.get(), &status) != 0) {
        throw Fatal(errno_message(path, errno));
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        throw Fatal(fmt::format("{}: not a regular file that only the vault may write", path));
    }
    return file;
}

std::string read_own(BorrowedFd file, const std::string& path, std::size_t most) {
    std::string text(most + 1, '\0');
    const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
    if (size < 0 || static_cast<std::size_t>(size) > most) {
        throw Fatal(fmt::format("{}: cannot be read, or is longer than {} bytes", path, most));
    }
    text.resize(static_cast<std::size_t>(size));
    return text;
}

}  // namespace iommud::vault
