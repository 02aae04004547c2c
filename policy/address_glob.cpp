#include "policy/address_glob.hpp"

#include <algorithm>
#include <vector>

namespace iommud::policy {
namespace {

// An address's shape, one letter a character: h a hex digit, s the first digit of a slot (0 or 1), f a function (0-7).
bool fits(char shape, char c) {
    switch (shape) {
        case 'h':
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        case 's':
            return c == '0' || c == '1';
        case 'f':
            return c >= '0' && c <= '7';
        default:
            return c == shape;
    }
}

// The glob against one shape: the usual table of which prefixes go together, one row kept.
bool can_match(std::string_view glob, std::string_view shape) {
    std::vector<bool> reach(shape.size() + 1, false);
    reach[0] = true;
    for (const char c : glob) {
        std::vector<bool> next(shape.size() + 1, false);
        for (std::size_t i = 0; i <= shape.size(); ++i) {
            if (c == '*') {
                next[i] = reach[i] || (i > 0 && next[i - 1]);
            } else if (i > 0) {
                next[i] = reach[i - 1] && (c == '?' || fits(shape[i - 1], c));
            }
        }
        reach = std::move(next);
    }
    return reach[shape.size()];
}

bool glob_match(std::string_view glob, std::string_view text) {
    std::size_t g = 0;
    std::size_t t = 0;
    std::size_t star = std::string_view::npos;
    std::size_t retry = 0;
    while (t < text.size()) {
        if (g < glob.size() && glob[g] == '*') {
            star = g++;
            retry = t;
        } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
            ++g;
            ++t;
        } else if (star != std::string_view::npos) {
            g = star + 1;
            t = ++retry;
        } else {
            return false;
        }
    }
    return glob.find_first_not_of('*', g) == std::string_view::npos;
}

// "0000:81:00.*" and the like, which fix whole parts and leave the rest open.
AddressGlob::Fixed fixed_parts(std::string_view glob) {
    AddressGlob::Fixed fixed;
    if (!glob.ends_with('*')) {
        return fixed;
    }
    const std::string begin(glob.substr(0, glob.size() - 1));
    if (begin.empty()) {
        fixed.whole = true;
        return fixed;
    }
    // What is left of an address after domain, bus and slot.
    const std::string_view rests[] = {"00:00.0", "00.0", "0"};
    for (std::size_t i = 0; i < 3 && (begin.ends_with(':') || begin.ends_with('.')); ++i) {
        if (const auto address = PciAddress::parse(begin + std::string(rests[i]))) {
            return {
                .address = *address, .domain = true, .bus = i >= 1, .slot = i >= 2, .function = false, .whole = true};
        }
    }
    return fixed;
}

}  // namespace

std::optional<AddressGlob> AddressGlob::parse(std::string_view written, Fault& fault) {
    constexpr std::size_t longest = 32;
    std::string text(written.substr(0, longest + 1));
    std::replace(text.begin(), text.end(), '-', ':');
    if (text.empty() || text.size() > longest || text.find_first_not_of("0123456789abcdef:.*?") != text.npos) {
        fault = Fault::characters;
        return std::nullopt;
    }
    AddressGlob glob;
    glob.text_ = text;
    if (text.find_first_of("*?") == text.npos) {
        glob.exact_ = PciAddress::parse(text);
        glob.fixed_ = {glob.exact_.value_or(PciAddress{}), true, true, true, true, true};
        fault = Fault::matches_nothing;
        return glob.exact_ ? std::optional(glob) : std::nullopt;
    }
    const std::string_view widest = "hhhhhhhh:hh:sh.f";  // VMD's domains have up to eight digits
    for (std::size_t cut = 0; cut <= 4; ++cut) {
        if (can_match(text, widest.substr(cut))) {
            glob.fixed_ = fixed_parts(text);
            return glob;
        }
    }
    fault = Fault::matches_nothing;
    return std::nullopt;
}

bool AddressGlob::matches(const PciAddress& address, std::string_view text) const {
    return exact_ ? *exact_ == address : glob_match(text_, text);
}

bool AddressGlob::covers(const AddressGlob& other) const {
    return other.exact_ ? matches(*other.exact_, other.text_) : text_ == other.text_;
}

}  // namespace iommud::policy
