#include "daemon/vault/nodes.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>

#include "daemon/vault/files.hpp"

namespace iommud::vault {
namespace {

namespace fs = std::filesystem;

constexpr const char* cdev_context = "/iommu";
constexpr const char* type1_context = "/vfio/vfio";

bool is_character_device(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISCHR(status.st_mode);
}

// Whether a driver of the kernel's has that name for its nodes: "vfio" makes those of groups, and "vfio-dev" those of
// devices (vfio_group_init, vfio_cdev_init), each as soon as VFIO is loaded.
bool makes_nodes(const Folders& folders, std::string_view driver) {
    std::ifstream list(folders.proc + "/devices");
    for (std::string line; std::getline(list, line);) {
        if (line.size() > driver.size() && line.ends_with(driver) && line[line.size() - driver.size() - 1] == ' ') {
            return true;
        }
    }
    return false;
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

// Opens `node`, whose number stands in the sysfs file `number_file`; it must be the same node when it is open.
Result<UniqueFd> open_node(const std::string& node, const std::string& number_file) {
    const auto before = read_small(number_file);
    UniqueFd fd(::open(node.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) {
        return tl::unexpected(open_error(node, errno, ErrorCode::no_such_device));
    }
    struct stat status {};
    const auto after = read_small(number_file);
    if (!before || !after || *before != *after || ::fstat(fd.get(), &status) != 0 || !S_ISCHR(status.st_mode) ||
        fmt::format("{}:{}", major(status.st_rdev), minor(status.st_rdev)) != *after) {
        return fail(ErrorCode::no_such_device, fmt::format("{} is not the node that sysfs names", node));
    }
    return fd;
}

// The monitor refuses this too (I8); the vault does not rely on it. Only the module that lends the devices counts; one
// that is not there has no such parameter.
Result<void> interrupts_are_safe(KernelInterface kernel, const Folders& folders) {
    const std::string path = fmt::format("{}/module/{}/parameters/allow_unsafe_interrupts", folders.sys,
                                         kernel == KernelInterface::type1 ? "vfio_iommu_type1" : "iommufd");
    if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
        return {};
    }
    if (const auto value = read_small(path); !value || *value != "N") {
        return fail(ErrorCode::device_refused,
                    fmt::format("{} is {}, not N: a device could send any interrupt, and none is given", path,
                                value ? *value : "unreadable"));
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
        return fail(ErrorCode::device_refused,
                    fmt::format("{}: node {}: devices without an IOMMU are never given", device.text(), names[0]));
    }
    const std::string number_file = fmt::format("{}/vfio-dev/{}/dev", sysfs_of(folders, device), names[0]);
    if (::access(number_file.c_str(), F_OK) != 0) {
        // With groups only, the vault would have taken type1, had VFIO been loaded when it started.
        return fail(
            ErrorCode::kernel_unsupported,
            fmt::format("{}: VFIO makes no node for it: the kernel lacks CONFIG_VFIO_DEVICE_CDEV{}", device.text(),
                        is_character_device(folders.dev + type1_context)
                            ? "; after a restart of iommud-vault.service it is served by type1"
                            : ""));
    }
    return open_node(fmt::format("{}/vfio/devices/{}", folders.dev, names[0]), number_file);
}

Result<UniqueFd> open_group(const Folders& folders, const PciAddress& device, const std::string& group) {
    if (!is_number(group) || link_name(folders, device, "driver").find("vfio") == std::string::npos) {
        return not_bound(folders, device);
    }
    return open_node(fmt::format("{}/vfio/{}", folders.dev, group),
                     fmt::format("{}/class/vfio/{}/dev", folders.sys, group));
}

}  // namespace

Error open_error(const std::string& node, int error_number, ErrorCode when_absent) {
    const auto because = [&](ErrorCode code, std::string_view cause) {
        return Error{code, fmt::format("{}: {}", errno_message("open " + node, error_number), cause)};
    };
    switch (error_number) {
        case EACCES:
            return because(ErrorCode::device_refused,
                           "it is not root's any more; an administrator gives it back, by chown root: and chmod 0600");
        case EPERM:
            return because(ErrorCode::device_refused, "DeviceAllow= of iommud-vault.service does not name it");
        case EBUSY:
            return because(ErrorCode::device_busy, "a program outside of iommud has it open");
        case ENODEV:
        case ENXIO:
            return because(ErrorCode::no_such_device, "the device is going away");
        case ENOENT:
            return {when_absent, errno_message("open " + node, error_number)};
        case ENOMEM:
            return because(ErrorCode::memory_limit, "the kernel has no memory for it");
        default:
            return {ErrorCode::internal, errno_message("open " + node, error_number)};
    }
}

std::optional<KernelInterface> probe_kernel(const Folders& folders) {
    const bool iommufd = is_character_device(folders.dev + cdev_context);
    const bool only_groups = makes_nodes(folders, "vfio") && !makes_nodes(folders, "vfio-dev");
    if (is_character_device(folders.dev + type1_context) && (only_groups || !iommufd)) {
        return KernelInterface::type1;
    }
    return iommufd ? std::optional(KernelInterface::iommufd) : std::nullopt;
}

Result<UniqueFd> open_context(KernelInterface kernel) {
    const std::string node = Folders().dev + (kernel == KernelInterface::type1 ? type1_context : cdev_context);
    UniqueFd fd(::open(node.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) {
        return tl::unexpected(open_error(node, errno, ErrorCode::kernel_unsupported));
    }
    if (!is_character_device(node)) {
        return fail(ErrorCode::kernel_unsupported, fmt::format("{} is not a device node", node));
    }
    return fd;
}

Result<std::vector<UniqueFd>> open_devices(KernelInterface kernel, std::span<const PciAddress> devices,
                                           const Folders& folders) {
    if (auto safe = interrupts_are_safe(kernel, folders); !safe) {
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
