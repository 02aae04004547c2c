// A client that writes what it likes: bytes, and D-Bus messages by hand.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/unique_fd.hpp"

namespace iommud::worker::test {

// A little-endian method call as bytes, marshalled field by field.
class RawCall {
  public:
    RawCall(std::string_view path, std::string_view interface, std::string_view member, std::string_view signature,
            std::uint32_t fds = 0);
    void u32(std::uint32_t value) { put_u32(body_, value); }
    void string(std::string_view text) { put_string(body_, text); }
    void signature(std::string_view text) { put_signature(body_, text); }
    void align(std::size_t to) { body_.resize((body_.size() + to - 1) / to * to); }
    [[nodiscard]] std::size_t size() const { return body_.size(); }
    void patch_u32(std::size_t at, std::uint32_t value);
    [[nodiscard]] std::string bytes() const;

  private:
    static void put_u32(std::string& out, std::uint32_t value);
    static void put_string(std::string& out, std::string_view text);
    static void put_signature(std::string& out, std::string_view text);
    void field(std::uint8_t code, std::string_view type, std::string_view value);

    std::string fields_;
    std::string body_;
};

inline constexpr std::string_view handshake = {"\0AUTH ANONYMOUS 78\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", 46};

class RawClient {
  public:
    explicit RawClient(UniqueFd connection) : connection_(std::move(connection)) {}

    // Writes all of it, with `fds` on the first byte; false: the connection is gone, or takes nothing for 2 seconds.
    bool write(std::string_view bytes, std::span<const int> fds = {});
    // Reads until `wanted` is among what has been read; false: it never came.
    bool read_until(std::string_view wanted);
    bool gone_in_time();
    void close() { connection_.reset(); }

  private:
    // False at the end of the connection, or after 10 seconds without a byte.
    bool read_some();

    UniqueFd connection_;
    std::string read_;
};

}  // namespace iommud::worker::test
