#include "daemon/rebind/bind_anew.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <filesystem>

#include "daemon/base/unique_fd.hpp"

namespace iommud::rebind {
namespace {

Result<void> write_to(const std::string& path, const std::string& text) {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    return {};
}

}  // namespace

Result<std::string> vfio_driver(const std::string& sysfs, const PciAddress& device) {
    const std::string folder = fmt::format("{}/bus/pci/devices/{}", sysfs, device.text());
    std::error_code error;
    if (!std::filesystem::exists(folder, error)) {
        return fail(ErrorCode::no_such_device, fmt::format("there is no PCI device {}", device.text()));
    }
    std::string driver = std::filesystem::read_symlink(folder + "/driver", error).filename();
    if (driver.find("vfio") == std::string::npos) {
        return fail(ErrorCode::group_not_viable, fmt::format("{} is on {}: only VFIO's drivers are bound anew",
                                                             device.text(), driver.empty() ? "no driver" : driver));
    }
    return driver;
}

Result<void> bind_anew(const std::string& sysfs, const PciAddress& device, const std::string& driver) {
    const std::string folder = fmt::format("{}/bus/pci/drivers/{}", sysfs, driver);
    if (Result<void> unbound = write_to(folder + "/unbind", device.text()); !unbound) {
        return unbound;
    }
    return write_to(folder + "/bind", device.text());
}

}  // namespace iommud::rebind
