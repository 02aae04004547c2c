#include "policy/json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "policy/utf8.hpp"

namespace iommud::policy {

// Takes nlohmann's events. Each event is one token, so its place is found by walking on from the end of the token
// before it, over the white space, comma and colon between.
class DocumentBuilder {
  public:
    using number_integer_t = nlohmann::json::number_integer_t;
    using number_unsigned_t = nlohmann::json::number_unsigned_t;
    using number_float_t = nlohmann::json::number_float_t;
    using string_t = nlohmann::json::string_t;
    using binary_t = nlohmann::json::binary_t;

    explicit DocumentBuilder(Document& document) : document_(document), text_(document.text_) {}

    bool null() { return word(JsonKind::null); }
    bool boolean(bool) { return word(JsonKind::boolean); }
    bool number_integer(number_integer_t) { return word(JsonKind::number); }
    bool number_unsigned(number_unsigned_t) { return word(JsonKind::number); }
    bool number_float(number_float_t, const string_t&) { return word(JsonKind::number); }
    bool binary(binary_t&) { return false; }
    bool string(string_t& value) { return quoted_token(JsonKind::string, value); }
    bool key(string_t& value) { return quoted_token(JsonKind::key, value); }
    bool start_object(std::size_t) { return open(JsonKind::object); }
    bool start_array(std::size_t) { return open(JsonKind::array); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }

    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& what) {
        const std::size_t offset = std::min(position == 0 ? 0 : position - 1, text_.size());
        return fail(offset, "JSON syntax: " + syntax_message(what.what()) + hint(offset));
    }

    std::size_t error_offset = 0;
    std::string error;

  private:
    bool fail(std::size_t offset, std::string message) {
        error_offset = offset;
        error = std::move(message);
        return false;
    }

    // nlohmann: "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing value -
    // unexpected end of input; expected '}'". What follows the dash is for people.
    static std::string syntax_message(std::string_view text) {
        const std::size_t dash = text.find(" - ");
        if (dash == std::string_view::npos) {
            return "a number out of range";
        }
        std::string message(text.substr(dash + 3));
        // Of what was read last, position and file speak better than the parser's escapes.
        if (const std::size_t last_read = message.find("; last read: '"); last_read != std::string::npos) {
            const std::size_t expected = message.rfind("'; expected ");
            message.erase(last_read, expected == std::string::npos ? expected : expected + 1 - last_read);
        }
        return message;
    }

    // The two things that other dialects of JSON allow.
    [[nodiscard]] std::string hint(std::size_t offset) const {
        if (offset >= text_.size()) {
            return "";
        }
        if (text_[offset] == '/' || text_[offset] == '#') {
            return " (JSON has no comments)";
        }
        const std::size_t before = offset == 0 ? std::string_view::npos : text_.find_last_not_of(" \t\r\n", offset - 1);
        const bool closes = text_[offset] == '}' || text_[offset] == ']';
        return closes && before != std::string_view::npos && text_[before] == ',' ? " (a comma after the last entry)"
                                                                                  : "";
    }

    std::uint32_t token_start() {
        cursor_ = std::min(text_.find_first_not_of(" \t\r\n,:", cursor_), text_.size());
        return static_cast<std::uint32_t>(cursor_);
    }

    bool add(JsonKind kind, std::string_view text) {
        Document::Node node;
        node.offset = token_start();
        if (document_.nodes_.size() >= max_json_values) {
            return fail(node.offset, fmt::format("more than {} values in one file", max_json_values));
        }
        node.kind = kind;
        node.end = static_cast<std::uint32_t>(document_.nodes_.size() + 1);
        node.text_begin = static_cast<std::uint32_t>(document_.strings_.size());
        node.text_size = static_cast<std::uint32_t>(text.size());
        document_.strings_ += text;
        document_.nodes_.push_back(node);
        return true;
    }

    bool word(JsonKind kind) {
        const std::size_t start = token_start();
        const std::size_t end = std::min(text_.find_first_of(" \t\r\n,:]}", start), text_.size());
        const bool added = add(kind, text_.substr(start, end - start));
        cursor_ = end;
        return added;
    }

    bool quoted_token(JsonKind kind, const string_t& value) {
        const std::size_t start = token_start();
        if (value.find('\0') != string_t::npos) {
            return fail(start, "a NUL character in a string");
        }
        const bool added = add(kind, value);
        for (cursor_ = start + 1; cursor_ < text_.size() && text_[cursor_] != '"'; ++cursor_) {
            cursor_ += text_[cursor_] == '\\' ? 1 : 0;
        }
        ++cursor_;
        return added;
    }

    bool open(JsonKind kind) {
        if (open_.size() >= max_json_depth) {
            return fail(token_start(), fmt::format("nested more than {} deep", max_json_depth));
        }
        open_.push_back(static_cast<std::uint32_t>(document_.nodes_.size()));
        const bool added = add(kind, "");
        ++cursor_;
        return added;
    }

    bool close() {
        document_.nodes_[open_.back()].end = static_cast<std::uint32_t>(document_.nodes_.size());
        open_.pop_back();
        cursor_ = token_start() + 1;
        return true;
    }

    Document& document_;
    std::string_view text_;
    std::size_t cursor_ = 0;
    std::vector<std::uint32_t> open_;
};

namespace {

struct Place {
    unsigned line = 1;
    unsigned column = 1;
};

Place place_of(std::string_view text, const std::vector<std::uint32_t>& line_starts, std::size_t offset) {
    const auto after = std::upper_bound(line_starts.begin(), line_starts.end(), offset);
    Place place;
    place.line = static_cast<unsigned>(after - line_starts.begin());
    for (const char c : text.substr(*(after - 1), offset - *(after - 1))) {
        place.column += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;  // characters, not bytes
    }
    return place;
}

// What must not be in the bytes at all, before anything parses them.
std::optional<std::pair<std::size_t, const char*>> unfit_bytes(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) {
        return std::pair(std::size_t{0}, "a byte order mark: JSON is plain UTF-8 without one");
    }
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
        return std::pair(nul, "a NUL byte: JSON is text");
    }
    if (const auto offset = first_invalid_utf8(text)) {
        return std::pair(*offset, "a byte that is not UTF-8");
    }
    return std::nullopt;
}

}  // namespace

tl::expected<Document, Diagnostic> Document::parse(std::string name, std::string_view text) {
    Document document;
    document.name_ = std::move(name);
    if (text.size() > max_file_size) {
        return tl::unexpected(Diagnostic{.file = document.name_, .pointer = "", .message = "bigger than 1 MiB"});
    }
    document.text_ = text;
    document.line_starts_.push_back(0);
    for (std::size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
        document.line_starts_.push_back(static_cast<std::uint32_t>(at + 1));
    }
    const auto failed = [&document](std::size_t offset, std::string message) {
        const Place place = place_of(document.text_, document.line_starts_, offset);
        return tl::unexpected(Diagnostic{document.name_, place.line, place.column, "", std::move(message)});
    };
    if (const auto unfit = unfit_bytes(text)) {
        return failed(unfit->first, unfit->second);
    }
    DocumentBuilder builder(document);
    if (!nlohmann::json::sax_parse(document.text_, &builder)) {
        return failed(builder.error_offset, builder.error);
    }
    return document;
}

JsonValue Document::root() const {
    return JsonValue(*this, 0);
}

unsigned Document::line(std::uint32_t index) const {
    const auto after = std::upper_bound(line_starts_.begin(), line_starts_.end(), nodes_[index].offset);
    return static_cast<unsigned>(after - line_starts_.begin());
}

Diagnostic Document::diagnostic(std::uint32_t index, std::string message) const {
    const Place place = place_of(text_, line_starts_, nodes_[index].offset);
    return Diagnostic{name_, place.line, place.column, pointer(index), std::move(message)};
}

std::string Document::pointer(std::uint32_t index) const {
    std::string result;
    for (std::uint32_t at = 0; at != index;) {
        const Node& container = nodes_[at];
        std::uint32_t child = at + 1;
        if (container.kind == JsonKind::array) {
            std::size_t position = 0;
            for (; nodes_[child].end <= index; child = nodes_[child].end) {
                ++position;
            }
            result += fmt::format("/{}", position);
        } else {
            for (; nodes_[child + 1].end <= index; child = nodes_[child + 1].end) {
            }
            result += '/';
            for (const char c : JsonValue(*this, child).text()) {
                result += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
            }
            if (child == index) {
                return result;  // a key is named as its value is
            }
            ++child;
        }
        at = child;
    }
    return result;
}

std::optional<std::uint64_t> JsonValue::unsigned_integer() const {
    if (kind() != JsonKind::number) {
        return std::nullopt;
    }
    std::uint64_t number = 0;
    const std::string_view written = text();
    const auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), number);
    return error == std::errc{} && end == written.data() + written.size() ? std::optional(number) : std::nullopt;
}

std::string JsonValue::shown() const {
    switch (kind()) {
        case JsonKind::string:
        case JsonKind::key:
            return quoted(text());
        case JsonKind::number:
        case JsonKind::boolean:
        case JsonKind::null:
            return std::string(text().substr(0, 40));
        case JsonKind::array:
            return "a list";
        case JsonKind::object:
            return "an object";
    }
    return "";
}

std::optional<JsonValue> JsonValue::first_child() const {
    return node().end > index_ + 1 ? std::optional(JsonValue(*document_, index_ + 1)) : std::nullopt;
}

std::optional<JsonValue> JsonValue::next_in(const JsonValue& parent) const {
    return node().end < parent.node().end ? std::optional(JsonValue(*document_, node().end)) : std::nullopt;
}

}  // namespace iommud::policy
