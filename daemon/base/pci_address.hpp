// A PCI device's address: domain, bus, slot, function; "0000:81:00.0" as the kernel writes it in sysfs.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace iommud {

struct PciAddress {
    std::uint32_t domain = 0;  // 16 bits everywhere but behind VMD bridges, where it has up to 32
    std::uint8_t bus = 0;
    std::uint8_t slot = 0;      // 0..31
    std::uint8_t function = 0;  // 0..7
    auto operator<=>(const PciAddress&) const = default;

    // Exactly the kernel's form: lower-case hex digits, at least four for the domain. No abbreviation.
    [[nodiscard]] static std::optional<PciAddress> parse(std::string_view text);
    [[nodiscard]] std::string text() const;

    // As parse(), and with a dash for each colon, for tools that split names at colons: what users write.
    [[nodiscard]] static std::optional<PciAddress> parse_name(std::string_view text);
};

// Why parse_name() takes `text` for no address: "is no PCI address; ...", to follow the text itself.
[[nodiscard]] const char* why_no_address(std::string_view text);

}  // namespace iommud
