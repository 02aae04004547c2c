// iommuctl cdi generate
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "client/iommuctl/cdi.hpp"
#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/verbs.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::ctl {
namespace {

// Beside this program, as it was installed.
std::string installed_hook() {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    return self.parent_path().parent_path() / IOMMUD_LIBEXEC / "iommud-oci-hook";
}

// An engine may read at any moment: it sees the old file or the new one. What is being written has no name that ends in
// .json, which is what engines look for.
Outcome<int> write_file(const std::string& folder, const std::string& text) {
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
        return lib::system_failed(folder, errno);
    }
    const std::string path = folder + "/iommud.json";
    std::string unfinished = folder + "/.iommud.XXXXXX";
    const UniqueFd file(::mkostemp(unfinished.data(), O_CLOEXEC));
    if (!file.valid()) {
        return lib::system_failed(folder, errno);
    }
    const bool written = ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                         ::fchmod(file.get(), 0644) == 0 && ::fsync(file.get()) == 0 &&
                         ::rename(unfinished.c_str(), path.c_str()) == 0;
    if (!written) {
        const int error = errno;
        ::unlink(unfinished.c_str());
        return lib::system_failed(path, error);
    }
    return print(path + "\n");
}

}  // namespace

Outcome<int> perform(const CdiGenerate& verb, const Settings& settings) {
    const auto objects = all_objects(settings);
    if (!objects) {
        return tl::unexpected(objects.error());
    }
    const json spec = cdi_spec(objects->at("devices"), verb.hook.empty() ? installed_hook() : verb.hook);
    return verb.output.empty() ? print_json(spec) : write_file(verb.output, spec.dump(2) + "\n");
}

}  // namespace iommud::ctl
