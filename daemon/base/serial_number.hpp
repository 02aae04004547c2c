// The serial number of a PCI Express device, as text.
#pragma once

#include <string_view>

namespace iommud {

// What iommud-serial leaves for a device that has none.
inline constexpr std::string_view no_serial_number = "none";

// "52-54-00-ff-ff-12-34-56": eight bytes in lower case, the highest first, as lspci(8) writes them.
[[nodiscard]] bool is_serial_number(std::string_view text);

}  // namespace iommud
