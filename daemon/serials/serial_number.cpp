#include "daemon/serials/serial_number.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "daemon/base/serial_number.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::serials {
namespace {

// PCI Express Base Specification 6.0, 7.6.3 and 7.9.3: from offset 256 on there is a list of capabilities. Each begins
// with a word of 32 bits: its number in the lowest 16, where the next one is in the highest 12.
constexpr off_t first_capability = 0x100;
constexpr off_t whole_space = 0x1000;
constexpr std::uint32_t serial_number_capability = 0x0003;
constexpr int most_capabilities = (whole_space - first_capability) / 8;  // a device may say that the list is a circle

class ConfigurationSpace {
  public:
    explicit ConfigurationSpace(const std::string& path)
        : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}

    [[nodiscard]] Result<bool> extended() const {
        struct stat status {};
        if (!file_.valid() || ::fstat(file_.get(), &status) != 0) {
            return fail(ErrorCode::internal, errno_message(path_, errno));
        }
        return status.st_size >= whole_space;
    }

    [[nodiscard]] Result<std::uint32_t> word(off_t at) const {
        std::array<std::uint8_t, 4> bytes{};
        const ssize_t size = ::pread(file_.get(), bytes.data(), bytes.size(), at);
        if (size != static_cast<ssize_t>(bytes.size())) {
            return fail(ErrorCode::internal, size < 0 ? errno_message(path_, errno)
                                                      : fmt::format("{}: nothing at offset {:#x}; only CAP_SYS_ADMIN "
                                                                    "may read so far",
                                                                    path_, at));
        }
        const std::uint32_t word =
            bytes[0] | std::uint32_t{bytes[1]} << 8 | std::uint32_t{bytes[2]} << 16 | std::uint32_t{bytes[3]} << 24;
        if (word == 0xffffffff) {  // what is read of a device that does not answer
            return fail(ErrorCode::internal, fmt::format("{}: all bits are set at offset {:#x}", path_, at));
        }
        return word;
    }

  private:
    std::string path_;
    UniqueFd file_;
};

std::string written(std::uint32_t high, std::uint32_t low) {
    std::array<std::uint8_t, 8> bytes{};
    for (std::size_t i = 0; i < 4; ++i) {
        bytes.at(i) = static_cast<std::uint8_t>(high >> (24 - 8 * i));
        bytes.at(4 + i) = static_cast<std::uint8_t>(low >> (24 - 8 * i));
    }
    return fmt::format("{:02x}", fmt::join(bytes, "-"));
}

}  // namespace

Result<std::string> serial_number(const std::string& device) {
    const ConfigurationSpace space(device + "/config");
    const auto extended = space.extended();
    if (!extended) {
        return tl::unexpected(extended.error());
    }
    off_t at = *extended ? first_capability : 0;
    for (int left = most_capabilities; at >= first_capability && left > 0; --left) {
        const auto header = space.word(at);
        if (!header) {
            return tl::unexpected(header.error());
        }
        if ((*header & 0xffff) == serial_number_capability) {
            const auto low = space.word(at + 4);
            const auto high = space.word(at + 8);
            if (!low || !high) {
                return tl::unexpected((low ? high : low).error());
            }
            return written(*high, *low);
        }
        at = static_cast<off_t>(*header >> 20 & 0xffc);
    }
    return std::string(no_serial_number);
}

}  // namespace iommud::serials
