#include "daemon/vault/files.hpp"

#include <fcntl.h>

#include <cerrno>

#include "daemon/base/unique_fd.hpp"

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

Result<void> write_small(const std::string& path, std::string_view text) {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    return {};
}

}  // namespace iommud::vault
