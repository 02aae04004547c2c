// iommud-serial: leaves the serial number of a PCI device where the monitor can read it, which the kernel shows to root
// alone. udev runs it when a device comes, and when it goes (systemd/60-iommud.rules).
//
// The file is /run/iommud/serials/ADDRESS: "INODE NUMBER". The inode is that of the device's folder in sysfs, which no
// other device ever has: what is left of a device that was here before is not believed.
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/log.hpp"
#include "daemon/base/pci_address.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/serials/serial_number.hpp"

namespace iommud::serials {
namespace {

// By /etc/group alone: a name service may wait.
std::optional<gid_t> group_of_the_monitor() {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/etc/group", "re"), &std::fclose);
    while (const ::group* entry = file ? ::fgetgrent(file.get()) : nullptr) {  // NOLINT(concurrency-mt-unsafe)
        if (std::string_view(entry->gr_name) == "iommud") {
            return entry->gr_gid;
        }
    }
    return std::nullopt;
}

// As systemd-tmpfiles makes them: udev's first events come before it. The group is the monitor's; the files inherit it.
Result<void> make_folders(const std::string& run) {
    const std::string folder = run + "/serials";
    struct stat status {};
    if (::stat(folder.c_str(), &status) == 0) {
        return {};
    }
    const auto monitor = group_of_the_monitor();
    if ((::mkdir(run.c_str(), 0711) != 0 && errno != EEXIST) ||
        (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)) {
        return fail(ErrorCode::internal, errno_message(folder, errno));
    }
    if (!monitor || ::chown(folder.c_str(), 0, *monitor) != 0 || ::chmod(folder.c_str(), 02750) != 0) {
        return fail(ErrorCode::internal, fmt::format("{}: cannot be given to the group iommud", folder));
    }
    return {};
}

Result<void> replace(const std::string& path, const std::string& text) {
    const std::string beside = path + ".new";
    const UniqueFd file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640));
    if (!file.valid() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        ::rename(beside.c_str(), path.c_str()) != 0) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    return {};
}

Result<void> leave_serial(const std::string& sysfs, const std::string& run, const PciAddress& address) {
    const std::string device = fmt::format("{}/bus/pci/devices/{}", sysfs, address.text());
    const std::string path = fmt::format("{}/serials/{}", run, address.text());
    struct stat folder {};
    if (::stat(device.c_str(), &folder) != 0) {
        return ::unlink(path.c_str()) == 0 || errno == ENOENT ? Result<void>()
                                                              : fail(ErrorCode::internal, errno_message(path, errno));
    }
    const auto number = serial_number(device);
    if (!number) {
        return tl::unexpected(number.error());
    }
    return make_folders(run).and_then([&] { return replace(path, fmt::format("{} {}\n", folder.st_ino, *number)); });
}

}  // namespace
}  // namespace iommud::serials

int main(int argc, char** argv) {
    iommud::log::open("iommud-serial");
    const auto address = argc == 2 || argc == 4 ? iommud::PciAddress::parse(argv[1]) : std::nullopt;
    if (!address) {
        static_cast<void>(std::fputs("usage: iommud-serial ADDRESS [SYSFS RUN]\n", stderr));
        return 2;
    }
    ::umask(0027);
    const auto left =
        iommud::serials::leave_serial(argc == 4 ? argv[2] : "/sys", argc == 4 ? argv[3] : "/run/iommud", *address);
    if (!left) {
        iommud::log::error(left.error().message, {{"IOMMUD_DEVICE", address->text()}});
        return 1;
    }
    return 0;
}
