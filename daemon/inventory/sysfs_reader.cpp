#include "daemon/inventory/sysfs_reader.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "daemon/base/unique_fd.hpp"

namespace iommud {
namespace {

constexpr std::size_t most_bytes = 4096;  // what the kernel gives an attribute
constexpr std::size_t most_names = 65536;

// ENODEV: the device went away between open and read.
Found found_of(int error_number) {
    return error_number == ENOENT || error_number == ENOTDIR || error_number == ENODEV ? Found::missing
                                                                                       : Found::unreadable;
}

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

Attribute SysfsReader::attribute(const std::filesystem::path& relative) const {
    UniqueFd fd(::open((root_ / relative).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.valid()) {
        return {found_of(errno), {}};
    }
    std::array<char, most_bytes + 1> buffer;
    std::size_t size = 0;
    while (size < buffer.size()) {
        const ssize_t got = ::read(fd.get(), buffer.data() + size, buffer.size() - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return {found_of(errno), {}};
        }
        if (got == 0) {
            break;
        }
        size += static_cast<std::size_t>(got);
    }
    if (size > most_bytes) {
        return {Found::unreadable, {}};
    }
    if (size > 0 && buffer[size - 1] == '\n') {
        --size;
    }
    return {Found::yes, std::string(buffer.data(), size)};
}

Attribute SysfsReader::link_target(const std::filesystem::path& relative) const {
    std::array<char, most_bytes> buffer;
    const ssize_t size = ::readlink((root_ / relative).c_str(), buffer.data(), buffer.size());
    if (size < 0) {
        return {found_of(errno), {}};
    }
    const auto length = static_cast<std::size_t>(size);
    return length == buffer.size() ? Attribute() : Attribute{Found::yes, std::string(buffer.data(), length)};
}

Attribute SysfsReader::link_name(const std::filesystem::path& relative) const {
    Attribute link = link_target(relative);
    link.text.erase(0, link.text.rfind('/') + 1);  // npos + 1 is 0: nothing
    if (link.found == Found::yes && (link.text.empty() || link.text == ".." || link.text == ".")) {
        return {};
    }
    return link;
}

Found SysfsReader::exists(const std::filesystem::path& relative) const {
    struct stat status {};
    return ::stat((root_ / relative).c_str(), &status) == 0 ? Found::yes : found_of(errno);
}

std::uint64_t SysfsReader::identity(const std::filesystem::path& relative) const {
    struct stat status {};
    static_assert(sizeof status.st_ino == 8, "where inodes are shorter, the generation is not in them");
    return ::stat((root_ / relative).c_str(), &status) == 0 ? status.st_ino : 0;
}

Found SysfsReader::list(const std::filesystem::path& relative, std::vector<std::string>& names) const {
    names.clear();
    const std::unique_ptr<DIR, CloseDirectory> directory(::opendir((root_ / relative).c_str()));
    if (!directory) {
        return found_of(errno);
    }
    for (;;) {
        errno = 0;
        const dirent* entry = ::readdir(directory.get());  // NOLINT(concurrency-mt-unsafe): our own stream
        if (entry == nullptr) {
            break;
        }
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") {
            continue;
        }
        if (names.size() == most_names) {
            errno = E2BIG;
            break;
        }
        names.emplace_back(name);
    }
    if (const int error_number = errno; error_number != 0) {
        names.clear();
        return found_of(error_number);
    }
    std::sort(names.begin(), names.end());
    return Found::yes;
}

}  // namespace iommud
