#include "daemon/base/serial_number.hpp"

namespace iommud {

bool is_serial_number(std::string_view text) {
    constexpr std::size_t bytes = 8;
    bool good = text.size() == 3 * bytes - 1;
    for (std::size_t i = 0; good && i < text.size(); ++i) {
        const std::string_view wanted = i % 3 == 2 ? "-" : "0123456789abcdef";
        good = wanted.find(text[i]) != std::string_view::npos;
    }
    return good;
}

}  // namespace iommud
