#include "daemon/monitor/endpoint_folder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>

#include "daemon/monitor/listener.hpp"

namespace iommud::monitor {

Result<UniqueFd> EndpointFolder::make(const std::string& id) const {
    remove(id);
    const std::string path = path_of(id);
    // Containers' users have to reach the socket in it. Who could list the folder would hold its lock for as long as
    // his memory, a FUSE server's, takes to be written to, and its removal would wait for that (fs/readdir.c).
    const mode_t before = ::umask(0);
    const bool made = ::mkdir(path.c_str(), 0711) == 0;
    const int error = errno;
    ::umask(before);
    if (!made) {
        return fail(ErrorCode::internal, errno_message(path, error));
    }
    // By the folder's descriptor: a socket's path may have 107 bytes, and ids alone have up to 128.
    const UniqueFd folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder.valid()) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    return listen_at(fmt::format("/proc/self/fd/{}/bus", folder.get()), 0666);
}

void EndpointFolder::remove(const std::string& id) const {
    const std::string path = path_of(id);
    ::unlink((path + "/bus").c_str());
    ::rmdir(path.c_str());
}

std::vector<std::string> EndpointFolder::list() const {
    struct Close {
        void operator()(DIR* folder) const { ::closedir(folder); }
    };
    std::vector<std::string> names;
    const std::unique_ptr<DIR, Close> folder(::opendir(path_.c_str()));
    while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) {  // NOLINT(concurrency-mt-unsafe)
        if (entry->d_name[0] != '.') {
            names.emplace_back(entry->d_name);
        }
    }
    return names;
}

}  // namespace iommud::monitor
