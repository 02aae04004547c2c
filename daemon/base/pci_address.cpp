#include "daemon/base/pci_address.hpp"

#include <algorithm>
#include <charconv>

#include "daemon/base/uuid.hpp"

namespace iommud {
namespace {

bool lower_hex(std::string_view text) {
    return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

template <class T>
bool read_hex(std::string_view text, T& value) {
    if (text.empty() || !lower_hex(text)) {
        return false;
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return error == std::errc{} && end == text.data() + text.size();
}

// By hand, not by fmt: a keeper, which is counted in kilobytes, links this.
void append_hex(std::string& text, std::uint32_t value, std::size_t least_digits) {
    char digits[8];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value, 16);
    const auto count = static_cast<std::size_t>(end - digits);
    text.append(least_digits > count ? least_digits - count : 0, '0').append(digits, count);
}

}  // namespace

std::optional<PciAddress> PciAddress::parse(std::string_view text) {
    constexpr std::size_t tail = sizeof(":00:00.0") - 1;
    if (text.size() < 4 + tail || text.size() > 8 + tail) {
        return std::nullopt;
    }
    const std::string_view domain = text.substr(0, text.size() - tail);
    const std::string_view rest = text.substr(domain.size());
    if (rest[0] != ':' || rest[3] != ':' || rest[6] != '.' || (domain.size() > 4 && domain[0] == '0')) {
        return std::nullopt;
    }
    PciAddress address;
    if (!read_hex(domain, address.domain) || !read_hex(rest.substr(1, 2), address.bus) ||
        !read_hex(rest.substr(4, 2), address.slot) || !read_hex(rest.substr(7, 1), address.function) ||
        address.slot > 31 || address.function > 7) {
        return std::nullopt;
    }
    return address;
}

std::optional<PciAddress> PciAddress::parse_name(std::string_view text) {
    std::string colons(text.substr(0, sizeof("00000000:00:00.0")));
    std::replace(colons.begin(), colons.end(), '-', ':');
    return parse(colons);
}

const char* why_no_address(std::string_view text) {
    return parse_uuid(text) ? "is a mediated device, and those are not leased"
                            : "is no PCI address; one looks like 0000:81:00.0";
}

std::string PciAddress::text() const {
    std::string text;
    append_hex(text, domain, 4);
    append_hex(text += ':', bus, 2);
    append_hex(text += ':', slot, 2);
    append_hex(text += '.', function, 1);
    return text;
}

}  // namespace iommud
