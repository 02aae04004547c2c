// Messages as bytes. A message is a plain struct whose fields() ties its members; a frame is a fixed header and those
// members in order, little-endian, strings and lists with a 32-bit count before them. Decoding checks every bound, and
// that nothing is left over: a frame either is exactly a message or is refused.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "daemon/base/pci_address.hpp"

namespace iommud::ipc {

// A SEQPACKET message of ours never exceeds this: lists that may be longer travel in several frames.
inline constexpr std::size_t max_frame = std::size_t{32} * 1024;
inline constexpr std::size_t max_string = 4096;
inline constexpr std::size_t max_list = 2048;
inline constexpr std::size_t max_fds = 253;  // SCM_MAX_FD

using Bytes = std::vector<std::byte>;
using Texts = std::vector<std::pair<std::string, std::string>>;  // names, each once, and what they say

class Encoder {
  public:
    explicit Encoder(Bytes& out) : out_(out) {}

    // False when a decoder would refuse a length of it.
    [[nodiscard]] bool fits() const { return fits_; }

    template <class T>
    void operator()(const T& value) {
        if constexpr (std::is_enum_v<T>) {
            (*this)(static_cast<std::underlying_type_t<T>>(value));
        } else if constexpr (std::is_same_v<T, bool>) {
            (*this)(static_cast<std::uint8_t>(value));
        } else if constexpr (std::is_integral_v<T>) {
            append(&value, sizeof value);  // all our machines are little-endian: static_assert below
        } else if constexpr (std::is_same_v<T, PciAddress>) {
            (*this)(value.domain), (*this)(value.bus), (*this)(value.slot), (*this)(value.function);
        } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, Bytes>) {
            count(value.size(), max_string);
            append(value.data(), value.size());
        } else if constexpr (requires { typename T::mapped_type; }) {
            count(value.size(), max_list);
            for (const auto& [key, mapped] : value) {
                (*this)(key), (*this)(mapped);
            }
        } else if constexpr (requires { value.second; }) {
            (*this)(value.first), (*this)(value.second);
        } else if constexpr (requires {
                                 typename T::value_type;
                                 value.has_value();
                             }) {
            (*this)(value.has_value());
            if (value) {
                (*this)(*value);
            }
        } else if constexpr (requires { typename T::value_type; }) {
            count(value.size(), max_list);
            for (const auto& item : value) {
                (*this)(item);
            }
        } else {
            std::apply([this](const auto&... field) { ((*this)(field), ...); }, const_cast<T&>(value).fields());
        }
    }

  private:
    void append(const void* data, std::size_t size) {
        const std::size_t before = out_.size();
        out_.resize(before + size);
        if (size > 0) {
            std::memcpy(out_.data() + before, data, size);
        }
    }
    void count(std::size_t number, std::size_t most) {
        fits_ = fits_ && number <= most;
        (*this)(static_cast<std::uint32_t>(number));
    }
    Bytes& out_;
    bool fits_ = true;
};

class Decoder {
  public:
    explicit Decoder(std::span<const std::byte> in) : in_(in) {}

    // True when everything so far was well-formed and nothing is left.
    [[nodiscard]] bool complete() const { return ok_ && in_.empty(); }

    template <class T>
    void operator()(T& value) {
        if constexpr (std::is_enum_v<T>) {
            std::underlying_type_t<T> number{};
            (*this)(number);
            value = static_cast<T>(number);
            ok_ = ok_ && valid_enum(value);  // found by argument-dependent look-up, one beside each enum
        } else if constexpr (std::is_same_v<T, bool>) {
            std::uint8_t number = 0;
            (*this)(number);
            ok_ = ok_ && number <= 1;
            value = number == 1;
        } else if constexpr (std::is_integral_v<T>) {
            take(&value, sizeof value);
        } else if constexpr (std::is_same_v<T, PciAddress>) {
            (*this)(value.domain), (*this)(value.bus), (*this)(value.slot), (*this)(value.function);
            ok_ = ok_ && value.slot < 32 && value.function < 8;
        } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, Bytes>) {
            const std::size_t size = count(max_string);
            value.resize(size);
            take(value.data(), size);
        } else if constexpr (requires { typename T::mapped_type; }) {
            for (std::size_t left = count(max_list); ok_ && left > 0; --left) {
                typename T::key_type key{};
                typename T::mapped_type mapped{};
                (*this)(key), (*this)(mapped);
                ok_ = ok_ && value.emplace(std::move(key), std::move(mapped)).second;
            }
        } else if constexpr (requires { value.second; }) {
            (*this)(value.first), (*this)(value.second);
        } else if constexpr (requires {
                                 typename T::value_type;
                                 value.has_value();
                             }) {
            bool present = false;
            (*this)(present);
            if (ok_ && present) {
                (*this)(value.emplace());
            }
        } else if constexpr (requires { typename T::value_type; }) {
            for (std::size_t left = count(max_list); ok_ && left > 0; --left) {
                (*this)(value.emplace_back());
            }
        } else {
            std::apply([this](auto&... field) { ((*this)(field), ...); }, value.fields());
        }
    }

  private:
    std::size_t count(std::size_t most) {
        std::uint32_t number = 0;
        (*this)(number);
        // Every counted thing takes at least a byte: a count beyond what is left is refused before anything is
        // allocated.
        ok_ = ok_ && number <= most && number <= in_.size();
        return ok_ ? number : 0;
    }
    void take(void* data, std::size_t size) {
        if (!ok_ || size > in_.size()) {
            ok_ = false;
            return;
        }
        if (size > 0) {
            std::memcpy(data, in_.data(), size);
        }
        in_ = in_.subspan(size);
    }
    std::span<const std::byte> in_;
    bool ok_ = true;
};

static_assert(std::endian::native == std::endian::little, "frames are written as they stand in memory");

struct FrameHeader {
    std::uint32_t type = 0;  // MessageType
    std::uint32_t size = 0;  // bytes after the header
};
static_assert(sizeof(FrameHeader) == 8);

// The frame of `message`, which has `static constexpr MessageType type` and `fields()`. Empty, which nobody sends, when
// decode() would refuse a length of it: the sender hears of that, and not the peer (hazard C27).
template <class Message>
[[nodiscard]] Bytes encode(const Message& message) {
    Bytes frame;
    frame.reserve(512);  // most frames: one allocation
    frame.resize(sizeof(FrameHeader));
    Encoder encoder(frame);
    encoder(message);
    const FrameHeader header{static_cast<std::uint32_t>(Message::type),
                             static_cast<std::uint32_t>(frame.size() - sizeof(FrameHeader))};
    std::memcpy(frame.data(), &header, sizeof header);
    if (!encoder.fits() || frame.size() > max_frame) {
        frame.clear();
    }
    return frame;
}

// The message in `frame`, or nothing when it is of another type or not exactly well-formed.
template <class Message>
[[nodiscard]] std::optional<Message> decode(std::span<const std::byte> frame) {
    FrameHeader header;
    if (frame.size() < sizeof header || frame.size() > max_frame) {
        return std::nullopt;
    }
    std::memcpy(&header, frame.data(), sizeof header);
    if (header.type != static_cast<std::uint32_t>(Message::type) || header.size != frame.size() - sizeof header) {
        return std::nullopt;
    }
    Message message{};
    Decoder decoder(frame.subspan(sizeof header));
    decoder(message);
    return decoder.complete() ? std::optional<Message>(std::move(message)) : std::nullopt;
}

// The type a frame claims; 0 when it is too short to claim one.
[[nodiscard]] inline std::uint32_t frame_type(std::span<const std::byte> frame) {
    FrameHeader header;
    if (frame.size() < sizeof header) {
        return 0;
    }
    std::memcpy(&header, frame.data(), sizeof header);
    return header.type;
}

// A value without a frame around it, for the record that the vault holds and does not read.
template <class Value>
[[nodiscard]] Bytes encode_value(const Value& value) {
    Bytes bytes;
    Encoder encoder(bytes);
    encoder(value);
    return bytes;
}
template <class Value>
[[nodiscard]] std::optional<Value> decode_value(std::span<const std::byte> bytes) {
    Value value{};
    Decoder decoder(bytes);
    decoder(value);
    return decoder.complete() ? std::optional<Value>(std::move(value)) : std::nullopt;
}

}  // namespace iommud::ipc
