#include "daemon/vault/values_file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>

#include "daemon/vault/files.hpp"

namespace iommud::vault {
namespace {

constexpr std::uint64_t longest_file = 4 << 20;  // written anew then; 4,096 things of the usual size take a tenth of it

std::string hex(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) {
        text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    }
    return text;
}

std::optional<std::string> from_hex(std::string_view text) {
    std::string bytes;
    for (; !text.empty(); text.remove_prefix(2)) {
        unsigned char byte = 0;
        const std::string_view two = text.substr(0, 2);
        const auto [end, error] = std::from_chars(two.data(), two.data() + two.size(), byte, 16);
        if (two.size() != 2 || error != std::errc{} || end != two.data() + 2) {
            return std::nullopt;
        }
        bytes += static_cast<char>(byte);
    }
    return bytes;
}

std::string line_of(const std::string& name, const ipc::Bytes& value) {
    const std::string_view bytes(reinterpret_cast<const char*>(value.data()), value.size());
    return fmt::format("{} {}\n", hex(name), hex(bytes));
}

}  // namespace

Result<Values> parse_values(std::string_view text) {
    Values values;
    for (std::size_t line = 1; !text.empty(); ++line) {
        const std::size_t end = text.find('\n');
        const std::string_view words = text.substr(0, end);
        const std::size_t space = words.find(' ');
        const auto name = from_hex(words.substr(0, space));
        const auto value = space == std::string_view::npos ? std::nullopt : from_hex(words.substr(space + 1));
        if (end == std::string_view::npos || !name || name->empty() || (space != std::string_view::npos && !value)) {
            return fail(ErrorCode::internal,
                        fmt::format("held:{}: expected 'NAME VALUE' or 'NAME', in hexadecimal", line));
        }
        if (value) {
            const auto* const bytes = reinterpret_cast<const std::byte*>(value->data());
            values[*name] = ipc::Bytes(bytes, bytes + value->size());
        } else {
            values.erase(*name);
        }
        text.remove_prefix(end + 1);
    }
    return values;
}

ValuesFile::ValuesFile(const std::string& path) : file_(open_own(path)) {
    const std::string text = read_own(file_.borrow(), path, longest_file + 65536);
    auto values = parse_values(text);
    if (!values) {
        throw Fatal(fmt::format("{}: {}", path, values.error().message));
    }
    values_ = std::move(*values);
    size_ = text.size();
}

Result<void> ValuesFile::hold(const std::string& name, const ipc::Bytes& value) {
    values_[name] = value;
    return append(line_of(name, value));
}

Result<void> ValuesFile::unhold(const std::string& name) {
    return values_.erase(name) == 0 ? Result<void>() : append(hex(name) + '\n');
}

Result<void> ValuesFile::append(const std::string& line) {
    if (size_ + line.size() > longest_file) {
        return write_anew();
    }
    if (::write(file_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        const int error = errno;
        const bool clean = ::ftruncate(file_.get(), static_cast<off_t>(size_)) == 0;  // half a line would be rubbish
        return fail(
            ErrorCode::internal,
            errno_message(clean ? "what is held cannot be written down" : "what is held is half written", error));
    }
    size_ += line.size();
    return {};
}

Result<void> ValuesFile::write_anew() {
    std::string text;
    for (const auto& [name, value] : values_) {
        text += line_of(name, value);
    }
    if (text.size() > longest_file / 2) {
        return fail(ErrorCode::invalid_argument, fmt::format("{} bytes to hold are too many", text.size()));
    }
    if (::ftruncate(file_.get(), 0) != 0 ||
        ::write(file_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return fail(ErrorCode::internal, errno_message("what is held cannot be written down", errno));
    }
    size_ = text.size();
    return {};
}

}  // namespace iommud::vault
