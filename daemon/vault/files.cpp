#include "daemon/vault/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "daemon/base/log.hpp"

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

namespace {

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

Result<void> sync(BorrowedFd file, const std::string& path) {
    if (::fsync(file.get()) != 0) {
        return fail(ErrorCode::internal, errno_message("fsync " + path, errno));
    }
    return {};
}

}  // namespace

Lines read_lines(const std::string& path, std::size_t most) {
    Lines lines{std::string(most + 1, '\0'), false, open_own(path)};
    const ssize_t size = ::pread(lines.file.get(), lines.whole.data(), lines.whole.size(), 0);
    if (size < 0 || static_cast<std::size_t>(size) > most) {
        throw Fatal(fmt::format("{}: cannot be read, or is longer than {} bytes", path, most));
    }
    lines.whole.resize(static_cast<std::size_t>(size));
    const std::size_t end = lines.whole.rfind('\n') + 1;  // 0 when there is none
    lines.cut_off = end != lines.whole.size();
    if (lines.cut_off) {
        log::warning(
            fmt::format("{}: the last line is cut off after {} bytes, ignoring it", path, lines.whole.size() - end));
        lines.whole.resize(end);
    }
    return lines;
}

Result<UniqueFd> replace_own(const std::string& path, std::string_view text) {
    const std::string beside = path + ".new";
    UniqueFd file(
        ::open(beside.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
    if (!file.valid()) {
        return fail(ErrorCode::internal, errno_message(beside, errno));
    }
    auto written = append_own(file.borrow(), text).and_then([&] { return sync(file.borrow(), beside); });
    if (!written) {
        return tl::unexpected(written.error());
    }
    if (::rename(beside.c_str(), path.c_str()) != 0) {
        return fail(ErrorCode::internal, errno_message("rename to " + path, errno));
    }
    const std::string folder = path.substr(0, path.rfind('/'));
    const UniqueFd above(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (auto synced = sync(above.borrow(), folder); !synced) {
        return tl::unexpected(synced.error());
    }
    return file;
}

Result<void> append_own(BorrowedFd file, std::string_view text) {
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return fail(ErrorCode::internal, errno_message("write to a file of the vault's", errno));
    }
    return {};
}

}  // namespace iommud::vault
