#include "daemon/vault/values_file.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "daemon/vault/files.hpp"

namespace iommud::vault {
namespace {

constexpr std::uint64_t longest_file = 4 << 20;  // written anew then; 4,096 things of the usual size take a tenth of it

std::string hex(std::string_view bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    text.reserve(2 * bytes.size());
    for (const char byte : bytes) {
        const auto value = static_cast<unsigned char>(byte);
        text += digits[value / 16];
        text += digits[value % 16];
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

std::uint64_t line_size(const std::string& name, const ipc::Bytes& value) {
    return 2 * (name.size() + 1 + value.size());  // a space and an end of line
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

ValuesFile::ValuesFile(const std::string& path) : path_(path) {
    Lines lines = read_lines(path, longest_file);
    auto values = parse_values(lines.whole);
    if (!values) {
        throw Fatal(fmt::format("{}: {}", path, values.error().message));
    }
    values_ = std::move(*values);
    for (const auto& [name, value] : values_) {
        live_ += line_size(name, value);
    }
    file_ = std::move(lines.file);
    size_ = lines.whole.size();
    behind_ = lines.cut_off;  // the next line would be appended to half a one
}

Result<void> ValuesFile::hold(const std::string& name, const ipc::Bytes& value) {
    const auto before = values_.find(name);
    const std::uint64_t live =
        live_ - (before == values_.end() ? 0 : line_size(name, before->second)) + line_size(name, value);
    if (live > longest_file / 2) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{} bytes to hold are too many, at most {} are held", live, longest_file / 2));
    }
    live_ = live;
    values_[name] = value;
    return append(line_of(name, value));
}

Result<void> ValuesFile::unhold(const std::string& name) {
    const auto found = values_.find(name);
    if (found == values_.end()) {
        return {};
    }
    live_ -= line_size(name, found->second);
    values_.erase(found);
    return append(hex(name) + '\n');
}

// A line more, instead of the whole file each time: this is on the way of every Acquire.
Result<void> ValuesFile::append(const std::string& line) {
    if (behind_ || size_ + line.size() > longest_file) {
        return write_anew();
    }
    if (auto written = append_own(file_.borrow(), line); !written) {
        behind_ = true;  // half a line may be there
        return written;
    }
    size_ += line.size();
    return {};
}

Result<void> ValuesFile::write_anew() {
    std::string text;
    for (const auto& [name, value] : values_) {
        text += line_of(name, value);
    }
    auto file = replace_own(path_, text);
    behind_ = !file;
    if (!file) {
        return tl::unexpected(file.error());
    }
    file_ = std::move(*file);
    size_ = text.size();
    return {};
}

}  // namespace iommud::vault
