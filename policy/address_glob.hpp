// A PCI address, or a pattern of them: * for any number of characters, ? for one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/pci_address.hpp"

namespace iommud::policy {

class AddressGlob {
  public:
    enum class Fault { characters, matches_nothing };

    // Nothing, and `fault` set, for characters that stand in no address, and for a pattern that no address can match:
    // "81:00.0", which forgets the domain, would be a rule that quietly never holds. A dash is as good as a colon.
    [[nodiscard]] static std::optional<AddressGlob> parse(std::string_view text, Fault& fault);

    // `text` is address.text(), computed once for many patterns.
    [[nodiscard]] bool matches(const PciAddress& address, std::string_view text) const;
    // Whether every address that `other` matches is matched by this; false when in doubt.
    [[nodiscard]] bool covers(const AddressGlob& other) const;
    // The one address that this matches, when it is no pattern.
    [[nodiscard]] const std::optional<PciAddress>& exact() const { return exact_; }
    // Which parts of an address must be as in `address`; not all that is asked, unless `whole`.
    struct Fixed {
        PciAddress address;
        bool domain = false;
        bool bus = false;
        bool slot = false;
        bool function = false;
        bool whole = false;
    };
    [[nodiscard]] const Fixed& fixed() const { return fixed_; }
    [[nodiscard]] const std::string& text() const { return text_; }

  private:
    std::string text_;
    std::optional<PciAddress> exact_;
    Fixed fixed_;
};

}  // namespace iommud::policy
