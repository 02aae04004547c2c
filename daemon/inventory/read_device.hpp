// One device out of sysfs: which attributes are looked at, and what their texts mean.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "daemon/inventory/device.hpp"
#include "daemon/inventory/sysfs_reader.hpp"

namespace iommud {

// The slots of /sys/bus/pci/slots, which firmware names, by the address of what is plugged in there, less its function:
// "0000:81:00".
using Slots = std::map<std::string, std::string, std::less<>>;
[[nodiscard]] Slots read_slots(const SysfsReader& sysfs);

// Nothing when there is no such device. An attribute that cannot be read, or whose text makes no sense, is absent and
// named in Device::unreadable. Does not wake the device: no attribute is read that the kernel answers from its
// configuration space. `name` stays empty.
[[nodiscard]] std::optional<Device> read_device(const SysfsReader& sysfs, PciAddress address, const Slots& slots = {});

// "0x10de" -> 0x10de; nothing for anything that is not 0x and one to eight hex digits.
[[nodiscard]] std::optional<std::uint32_t> parse_hex_attribute(std::string_view text);

// A decimal number without a plus sign or anything around it.
[[nodiscard]] std::optional<int> parse_decimal_attribute(std::string_view text);

// The text with everything but printable ASCII replaced, and cut at 255 bytes: names go into frames, logs and D-Bus.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace iommud
