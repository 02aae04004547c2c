#include "policy/folders.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <set>

#include "daemon/base/error.hpp"
#include "daemon/base/unique_fd.hpp"
#include "policy/json.hpp"

namespace iommud::policy {
namespace {

constexpr std::size_t max_files = 1024;
constexpr std::size_t max_database_size = 64 << 20;  // /etc/passwd of a large site

Diagnostic about(std::string file, std::string message) {
    Diagnostic diagnostic;
    diagnostic.file = std::move(file);
    diagnostic.message = std::move(message);
    return diagnostic;
}

// What makes an opened file or folder one that anybody but its owner could have written; empty when nothing does.
std::string distrust(const struct stat& status, std::uint32_t owner) {
    if (status.st_uid != owner) {
        return "owned by uid " + std::to_string(status.st_uid) + ", not " + std::to_string(owner);
    }
    if ((status.st_mode & S_IWGRP) != 0) {
        return "writable by its group";
    }
    return (status.st_mode & S_IWOTH) != 0 ? "writable by others" : "";
}

// Reads to the end, one byte more than allowed at most: a file may grow after fstat.
tl::expected<std::string, std::string> read_all(BorrowedFd fd, std::size_t most) {
    std::string text;
    std::string buffer(std::size_t{64} << 10, '\0');
    while (text.size() <= most) {
        const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
        const int error = errno;
        if (count < 0 && error == EINTR) {
            continue;
        }
        if (count < 0) {
            return tl::unexpected(errno_message("read", error));
        }
        if (count == 0) {
            return text;
        }
        text.append(buffer, 0, static_cast<std::size_t>(count));
    }
    return tl::unexpected("bigger than " + std::to_string(most >> 20) + " MiB");
}

bool same_time(const timespec& left, const timespec& right) {
    return left.tv_sec == right.tv_sec && left.tv_nsec == right.tv_nsec;
}

// Whether what was opened is as it was: not written to, nor replaced by another file of its name, which changes the
// count of links and with it the ctime.
bool unchanged(BorrowedFd fd, const struct stat& before) {
    struct stat now {};
    return ::fstat(fd.get(), &now) == 0 && now.st_size == before.st_size && now.st_nlink == before.st_nlink &&
           now.st_mode == before.st_mode && now.st_uid == before.st_uid && same_time(now.st_mtim, before.st_mtim) &&
           same_time(now.st_ctim, before.st_ctim);
}

tl::expected<std::string, std::string> read_regular(BorrowedFd fd, std::optional<std::uint32_t> owner,
                                                    std::size_t most) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
        return tl::unexpected(errno_message("fstat", errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return tl::unexpected(std::string("not a regular file"));
    }
    if (std::string reason = owner ? distrust(status, *owner) : ""; !reason.empty()) {
        return tl::unexpected(std::move(reason));
    }
    if (static_cast<std::uint64_t>(status.st_size) > most) {
        return tl::unexpected("bigger than " + std::to_string(most >> 20) + " MiB");
    }
    auto text = read_all(fd, most);
    if (text && (text->size() != static_cast<std::size_t>(status.st_size) || !unchanged(fd, status))) {
        return tl::unexpected(std::string("changed while it was read: load again"));
    }
    return text;
}

tl::expected<std::string, std::string> read_path(const std::string& path, std::size_t most) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    const int error = errno;
    return fd.valid() ? read_regular(fd.borrow(), std::nullopt, most) : tl::unexpected(errno_message("open", error));
}

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

// The names that end in .json, hidden files left out, sorted.
tl::expected<std::vector<std::string>, std::string> json_names(BorrowedFd folder) {
    UniqueFd copy(::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<DIR, CloseDirectory> directory(copy.valid() ? ::fdopendir(copy.get()) : nullptr);
    if (directory == nullptr) {
        return tl::unexpected(errno_message("read", errno));
    }
    static_cast<void>(copy.release());  // the DIR owns it now
    std::vector<std::string> names;
    errno = 0;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's is safe on a DIR that nobody else has
    while (const dirent* entry = ::readdir(directory.get())) {
        std::string name = entry->d_name;
        if (name.ends_with(".json") && !name.starts_with('.')) {
            names.push_back(std::move(name));
        }
        if (names.size() > max_files) {
            return tl::unexpected("more than " + std::to_string(max_files) + " files");
        }
        errno = 0;
    }
    if (errno != 0) {
        return tl::unexpected(errno_message("read", errno));
    }
    std::sort(names.begin(), names.end());
    return names;
}

void read_file(BorrowedFd folder, const std::string& name, const std::string& path, std::uint32_t owner,
               FoldersRead& result) {
    const UniqueFd fd(::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    const int error = errno;
    if (!fd.valid()) {
        const bool link = error == ELOOP;
        result.refusals.push_back(about(path, link ? "a symbolic link" : errno_message("open", error)));
        return;
    }
    auto text = read_regular(fd.borrow(), owner, max_file_size);
    if (text) {
        result.files.push_back({path, std::move(*text)});
    } else {
        result.refusals.push_back(about(path, std::move(text.error())));
    }
}

void read_folder(const std::string& folder, std::uint32_t owner, std::set<std::string>& seen, FoldersRead& result) {
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    const int error = errno;
    if (!fd.valid() && error == ENOENT) {
        return;
    }
    struct stat status {};
    if (!fd.valid() || ::fstat(fd.get(), &status) != 0) {
        result.refusals.push_back(about(folder, errno_message("open", fd.valid() ? errno : error)));
        return;
    }
    if (std::string reason = distrust(status, owner); !reason.empty()) {
        result.refusals.push_back(about(folder, std::move(reason)));
        return;
    }
    const auto names = json_names(fd.borrow());
    if (!names) {
        result.refusals.push_back(about(folder, names.error()));
        return;
    }
    for (const std::string& name : *names) {
        if (seen.insert(name).second) {
            read_file(fd.borrow(), name, fmt::format("{}/{}", folder, name), owner, result);
        }
    }
}

}  // namespace

std::vector<std::string> default_folders() {
    return {"/etc/iommud/policy.d", "/run/iommud/policy.d", "/usr/lib/iommud/policy.d"};
}

FoldersRead read_folders(std::span<const std::string> folders, std::uint32_t owner) {
    FoldersRead result;
    std::set<std::string> seen;
    for (const std::string& folder : folders) {
        read_folder(folder, owner, seen, result);
    }
    return result;
}

tl::expected<SourceFile, Diagnostic> read_source(const std::string& path) {
    auto text = read_path(path, max_file_size);
    if (!text) {
        return tl::unexpected(about(path, std::move(text.error())));
    }
    return SourceFile{path, std::move(*text)};
}

void read_named(const std::string& path, FoldersRead& read) {
    const UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::vector<std::string> paths{path};
    if (folder.valid()) {
        auto names = json_names(folder.borrow());
        if (!names) {
            read.refusals.push_back(about(path, std::move(names.error())));
            return;
        }
        paths.clear();
        for (const std::string& name : *names) {
            paths.push_back(fmt::format("{}{}{}", path, path.ends_with('/') ? "" : "/", name));
        }
    }
    for (const std::string& one : paths) {
        auto source = read_source(one);
        source ? read.files.push_back(std::move(*source)) : read.refusals.push_back(std::move(source.error()));
    }
}

tl::expected<Names, Diagnostic> read_names(const std::string& root) {
    const std::string paths[] = {root + "/etc/passwd", root + "/etc/group", root + "/etc/subuid"};
    std::string texts[3];
    for (std::size_t i = 0; i < 3; ++i) {
        auto text = read_path(paths[i], max_database_size);
        const bool may_be_missing = i == 2 && ::access(paths[i].c_str(), F_OK) != 0 && errno == ENOENT;
        if (!text && !may_be_missing) {
            return tl::unexpected(about(paths[i], std::move(text.error())));
        }
        texts[i] = text.value_or("");
    }
    return Names(texts[0], texts[1], texts[2]);
}

}  // namespace iommud::policy
