#include "daemon/inventory/simulated_devices.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "daemon/base/bytes.hpp"
#include "daemon/base/unique_fd.hpp"
#include "daemon/inventory/read_device.hpp"

namespace iommud {
namespace {

using Json = nlohmann::json;

constexpr std::size_t most_bytes = MiB;
constexpr std::size_t most_devices = 4096;
constexpr std::size_t most_text = 255;
constexpr int most_number = 1'000'000;

// Reads the members of one JSON object, and keeps the first thing that is wrong.
class Members {
  public:
    Members(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
        if (!object_.is_object()) {
            wrong("", "an object");
        }
    }

    [[nodiscard]] bool has(const char* key) const { return object_.is_object() && object_.contains(key); }

    std::string text(const char* key, const char* otherwise) {
        const Json* value = member(key);
        if (value == nullptr) {
            return otherwise;
        }
        const std::string* text = value->get_ptr<const std::string*>();
        if (text == nullptr || text->size() > most_text || printable(*text) != *text) {
            wrong(key, "a printable ASCII string of at most 255 characters");
            return otherwise;
        }
        return *text;
    }

    // "11e8", with at most `digits` digits.
    std::optional<std::uint32_t> hex(const char* key, std::size_t digits) {
        if (!has(key)) {
            return std::nullopt;
        }
        const std::string digits_text = text(key, "");
        std::uint32_t number = 0;
        const char* end = digits_text.data() + digits_text.size();
        const auto [rest, error] = std::from_chars(digits_text.data(), end, number, 16);
        if (error != std::errc{} || rest != end || digits_text.size() > digits) {
            wrong(key, fmt::format("a string of one to {} hexadecimal digits", digits));
            return std::nullopt;
        }
        return number;
    }

    int number(const char* key) {
        const Json* value = member(key);
        if (value == nullptr) {
            return -1;
        }
        if (!value->is_number_unsigned() || value->get<std::uint64_t>() > most_number) {
            wrong(key, fmt::format("a number from 0 to {}", most_number));
            return -1;
        }
        return value->get<int>();
    }

    bool flag(const char* key) {
        const Json* value = member(key);
        if (value != nullptr && !value->is_boolean()) {
            wrong(key, "true or false");
            return false;
        }
        return value != nullptr && value->get<bool>();
    }

    std::vector<std::string> texts(const char* key) {
        std::vector<std::string> all;
        const Json* value = member(key);
        if (value == nullptr) {
            return all;
        }
        if (!value->is_array() || value->size() > 64) {
            wrong(key, "a list of at most 64 strings");
            return all;
        }
        for (const Json& item : *value) {
            const std::string* text = item.get_ptr<const std::string*>();
            if (text == nullptr || text->size() > most_text || printable(*text) != *text) {
                wrong(key, "a list of printable ASCII strings");
                return {};
            }
            all.push_back(*text);
        }
        std::sort(all.begin(), all.end());
        return all;
    }

    void only(std::initializer_list<std::string_view> known) {
        if (!object_.is_object()) {
            return;
        }
        for (const auto& item : object_.items()) {
            if (std::find(known.begin(), known.end(), item.key()) == known.end()) {
                say(printable(item.key()), "unknown key");
            }
        }
    }

    void required(std::initializer_list<const char*> keys) {
        for (const char* key : keys) {
            if (!has(key)) {
                say(key, "missing");
            }
        }
    }

    void wrong(std::string_view key, std::string_view expected) { say(key, fmt::format("expected {}", expected)); }
    [[nodiscard]] const std::string& error() const { return error_; }

  private:
    void say(std::string_view key, std::string_view what) {
        if (error_.empty()) {
            // A JSON pointer, and "/" for the whole document.
            error_ = fmt::format("{}{}{}: {}", where_, key.empty() && !where_.empty() ? "" : "/", key, what);
        }
    }
    [[nodiscard]] const Json* member(const char* key) const { return has(key) ? &object_.at(key) : nullptr; }

    const Json& object_;
    std::string where_;
    std::string error_;
};

std::optional<std::uint16_t> id(Members& members, const char* key) {
    const auto number = members.hex(key, 4);
    return number ? std::optional(static_cast<std::uint16_t>(*number)) : std::nullopt;
}

Result<Device> parse_device(const Json& json, std::size_t index) {
    Members members(json, fmt::format("/devices/{}", index));
    members.only({"address", "vendor", "device", "subsystem_vendor", "subsystem_device", "class", "group", "driver",
                  "numa_node", "name", "capabilities", "noiommu", "faults"});
    members.required({"address", "vendor", "device", "class"});
    Device device;
    if (const auto address = PciAddress::parse(members.text("address", ""))) {
        device.address = *address;
    } else {
        members.wrong("address", "an address such as 0000:00:04.0");
    }
    device.vendor = id(members, "vendor");
    device.device = id(members, "device");
    device.subsystem_vendor = members.has("subsystem_vendor") ? id(members, "subsystem_vendor") : std::uint16_t{0};
    device.subsystem_device = members.has("subsystem_device") ? id(members, "subsystem_device") : std::uint16_t{0};
    device.class_code = members.hex("class", 6);
    device.iommu_group = members.number("group");
    device.driver = members.text("driver", "vfio-pci");
    device.numa_node = members.number("numa_node");
    device.name = members.text("name", "");
    device.capabilities = members.texts("capabilities");
    device.faults = members.texts("faults");
    device.noiommu_group = members.flag("noiommu");
    device.bridge_or_port = (device.class_code && *device.class_code >> 8 == 0x0604) || device.driver == "pcieport";
    if (!members.error().empty()) {
        return fail(ErrorCode::invalid_argument, members.error());
    }
    if (on_vfio_driver(device)) {
        device.vfio_cdev = fmt::format("{}vfio{}", device.noiommu_group ? "noiommu-" : "", index);
        device.cdev_node = true;
    }
    return device;
}

Result<std::string> read_file(const std::filesystem::path& file, BorrowedFd fd) {
    std::string text(most_bytes + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t got = ::read(fd.get(), text.data() + size, text.size() - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail(ErrorCode::invalid_argument, errno_message("read " + file.string(), errno));
        }
        if (got == 0) {
            break;
        }
        size += static_cast<std::size_t>(got);
    }
    if (size > most_bytes) {
        return fail(ErrorCode::invalid_argument, file.string() + ": longer than 1 MiB");
    }
    text.resize(size);
    return text;
}

Device edu(std::uint8_t slot, int group, const char* cdev) {
    Device device;
    device.address.slot = slot;
    device.vendor = 0x1234;
    device.device = 0x11e8;
    device.subsystem_vendor = 0x1af4;
    device.subsystem_device = 0x1100;
    device.class_code = 0x00ff00;
    device.iommu_group = group;
    device.driver = "vfio-pci";
    device.vfio_cdev = cdev;
    device.cdev_node = true;
    device.capabilities = {"reset:flr"};
    device.name = "QEMU edu, simulated";
    return device;
}

}  // namespace

std::vector<Device> built_in_simulated_devices() {
    return {edu(4, 3, "vfio0"), edu(6, 4, "vfio1")};
}

Result<std::vector<Device>> parse_simulated_devices(std::string_view json) {
    const Json document = Json::parse(json, nullptr, false);
    if (document.is_discarded()) {
        return fail(ErrorCode::invalid_argument, "not valid JSON");
    }
    Members top(document, "");
    top.only({"version", "devices"});
    top.required({"version", "devices"});
    if (top.number("version") != 1) {
        top.wrong("version", "1");
    }
    if (top.has("devices") && (!document.at("devices").is_array() || document.at("devices").size() > most_devices)) {
        top.wrong("devices", fmt::format("a list of at most {} devices", most_devices));
    }
    if (!top.error().empty()) {
        return fail(ErrorCode::invalid_argument, top.error());
    }
    std::vector<Device> devices;
    std::set<PciAddress> seen;
    for (const Json& entry : document.at("devices")) {
        auto device = parse_device(entry, devices.size());
        if (!device) {
            return tl::unexpected(std::move(device.error()));
        }
        if (!seen.insert(device->address).second) {
            return fail(ErrorCode::invalid_argument,
                        fmt::format("/devices/{}/address: {} comes twice", devices.size(), device->address.text()));
        }
        devices.push_back(std::move(*device));
    }
    return devices;
}

Result<std::vector<Device>> simulated_devices(const std::filesystem::path& config) {
    const std::filesystem::path file = config / "simulated-devices.json";
    const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.valid()) {
        if (errno == ENOENT) {
            return built_in_simulated_devices();
        }
        return fail(ErrorCode::invalid_argument, errno_message("open " + file.string(), errno));
    }
    const auto text = read_file(file, fd.borrow());
    if (!text) {
        return tl::unexpected(text.error());
    }
    auto devices = parse_simulated_devices(*text);
    if (!devices) {
        return fail(devices.error().code, file.string() + ": " + devices.error().message);
    }
    return devices;
}

}  // namespace iommud
