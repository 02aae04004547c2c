#include "daemon/vault/nodes.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>

#include "daemon/vault/files.hpp"

namespace iommud::vault {
namespace {

namespace fs = std::filesystem;

constexpr const char* cdev_context = "/dev/iommu";
constexpr const char* type1_context = "/dev/vfio/vfio";

bool is_character_device(const char* path) {
    struct stat status {};
    return ::stat(path, &status) == 0 && S_ISCHR(status.st_mode);
}

std::string sysfs_of(const Folders& folders, const PciAddress& device) {
    return folders.sys + "/bus/pci/devices/" + device.text();
}

// The last part of what the link in a device's folder points to; empty when there is no such link.
std::string link_name(const Folders& folders, const PciAddress& device, const char* link) {
    std::error_code error;
    return fs::read_symlink(fs::path(sysfs_of(folders, device)) / link, error).filename();
}

tl::unexpected<Error> not_bound(const Folders& folders, const PciAddress& device) {
    const std::string driver = link_name(folders, device, "driver");
    if (driver.find("vfio") != std::string::npos) {
        return fail(ErrorCode::kernel_unsupported,
                    fmt::format("{} is bound to {}, but this kernel makes no node for it", device.text(), driver));
    }
    return fail(ErrorCode::group_not_viable, fmt::format("{} is bound to {}; an administrator binds it to vfio-pci",
                                                         device.text(), driver.empty() ? "no driver" : driver));
}

tl::unexpected<Error> cannot_open(const std::string& node, int error, ErrorCode when_absent) {
    const ErrorCode code = error == EBUSY                      ? ErrorCode::device_busy
                           : error == ENODEV || error == ENXIO ? ErrorCode::no_such_device
                           : error == ENOENT                   ? when_absent
                                                               : ErrorCode::internal;
    return fail(code, errno_message("open " + node, error));
}

// Opens `node`, whose number stands in the sysfs file `number_file`; it must be the same node when it is open.
Result<UniqueFd> open_node(const std::string& node, const std::string& number_file) {
    const auto before = read_small(number_file);
    UniqueFd fd(::open(node.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) {
        return cannot_open(node, errno, ErrorCode::no_such_device);
    }
    struct stat status {};
    const auto after = read_small(number_file);
    if (!before || !after || *before != *after || ::fstat(fd.get(), &status) != 0 || !S_ISCHR(status.st_mode) ||
        fmt::format("{}:{}", major(status.st_rdev), minor(status.st_rdev)) != *after) {
        return fail(ErrorCode::no_such_device, fmt::format("{} is not the node that sysfs names", node));
    }
    return fd;
}

// The monitor refuses this too (I8); the vault does not rely on it. A module that is not there has no such parameter.
Result<void> interrupts_are_safe(const Folders& folders) {
    for (const char* module : {"vfio_iommu_type1", "iommufd"}) {
        const std::string path = fmt::format("{}/module/{}/parameters/allow_unsafe_interrupts", folders.sys, module);
        if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
            continue;
        }
        if (const auto value = read_small(path); !value || *value != "N") {
            return fail(ErrorCode::kernel_unsupported,
                        fmt::format("{} is {}, not N: a device could send any interrupt, and none is given", path,
                                    value ? *value : "unreadable"));
        }
    }
    return {};
}

bool is_number(const std::string& text) {
    return !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
}

Result<UniqueFd> open_cdev(const Folders& folders, const PciAddress& device) {
    std::error_code error;
    std::vector<std::string> names;
    for (fs::directory_iterator entry(sysfs_of(folders, device) + "/vfio-dev", error), end; !error && entry != end;
         entry.increment(error)) {
        names.push_back(entry->path().filename());
    }
    if (error || names.size() != 1) {
        return not_bound(folders, device);
    }
    if (!names[0].starts_with("vfio") || !is_number(names[0].substr(4))) {
        return fail(ErrorCode::group_not_viable,
                    fmt::format("{}: node {}: devices without an IOMMU are never given", device.text(), names[0]));
    }
    return open_node(fmt::format("{}/vfio/devices/{}", folders.dev, names[0]),
                     fmt::format("{}/vfio-dev/{}/dev", sysfs_of(folders, device), names[0]));
}

Result<UniqueFd> open_group(const Folders& folders, const PciAddress& device, const std::string& group) {
    if (!is_number(group) || link_name(folders, device, "driver").find("vfio") == std::string::npos) {
        return not_bound(folders, device);
    }
    return open_node(fmt::format("{}/vfio/{}", folders.dev, group),
                     fmt::format("{}/class/vfio/{}/dev", folders.sys, group));
}

}  // namespace

std::optional<KernelInterface> probe_kernel() {
    if (is_character_device(cdev_context)) {
        return KernelInterface::iommufd;
    }
    return is_character_device(type1_context) ? std::optional(KernelInterface::type1) : std::nullopt;
}

Result<UniqueFd> open_context(KernelInterface kernel) {
    const char* node = kernel == KernelInterface::type1 ? type1_context : cdev_context;
    UniqueFd fd(::open(node, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) {
        return cannot_open(node, errno, ErrorCode::kernel_unsupported);
    }
    if (!is_character_device(node)) {
        return fail(ErrorCode::kernel_unsupported, fmt::format("{} is not a device node", node));
    }
    return fd;
}

Result<std::vector<UniqueFd>> open_devices(KernelInterface kernel, std::span<const PciAddress> devices,
                                           const Folders& folders) {
    if (auto safe = interrupts_are_safe(folders); !safe) {
        return tl::unexpected(safe.error());
    }
    std::vector<UniqueFd> fds;
    std::map<std::string, BorrowedFd> groups;  // a group node can be open once only
    for (const PciAddress& device : devices) {
        if (::access(sysfs_of(folders, device).c_str(), F_OK) != 0) {
            return fail(ErrorCode::no_such_device, fmt::format("there is no PCI device {}", device.text()));
        }
        const bool cdev = kernel == KernelInterface::iommufd;
        const std::string group = cdev ? "" : link_name(folders, device, "iommu_group");
        if (const auto open = groups.find(group); !cdev && open != groups.end()) {
            fds.emplace_back(::fcntl(open->second.get(), F_DUPFD_CLOEXEC, 0));
            continue;
        }
        auto fd = cdev ? open_cdev(folders, device) : open_group(folders, device, group);
        if (!fd) {
            return tl::unexpected(fd.error());
        }
        groups.emplace(group, fd->borrow());
        fds.push_back(std::move(*fd));
    }
    return fds;
}

}  // namespace iommud::vault
