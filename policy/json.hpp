// A JSON text as a flat list of values that know where they stand. nlohmann's parser reads it; its own tree keeps no
// positions and its exceptions are not wanted here. Bounded in size, depth and number of values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "policy/diagnostic.hpp"

namespace iommud::policy {

inline constexpr std::size_t max_file_size = 1 << 20;
inline constexpr std::size_t max_json_depth = 16;  // the language itself needs 6
inline constexpr std::size_t max_json_values = 200000;

enum class JsonKind : std::uint8_t { null, boolean, number, string, array, object, key };

// One value of a Document; valid as long as the Document stays where it is.
class JsonValue;

class Document {
  public:
    // Refuses, by name: NUL, invalid UTF-8, a byte order mark, what is not JSON, and anything beyond the bounds above.
    [[nodiscard]] static tl::expected<Document, Diagnostic> parse(std::string name, std::string_view text);

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] JsonValue root() const;

    // Where the value with this number stands.
    [[nodiscard]] unsigned line(std::uint32_t index) const;
    [[nodiscard]] Diagnostic diagnostic(std::uint32_t index, std::string message) const;

  private:
    friend class JsonValue;
    friend class DocumentBuilder;
    // In the order of the text: a container is followed by what it contains, a key by its value.
    struct Node {
        std::uint32_t offset = 0;      // in the text
        std::uint32_t end = 0;         // the number of the first node that is not inside this one
        std::uint32_t text_begin = 0;  // in strings_; a string without its escapes, a number or literal as written
        std::uint32_t text_size = 0;
        JsonKind kind = JsonKind::null;
    };
    [[nodiscard]] std::string pointer(std::uint32_t index) const;

    std::string name_;
    std::vector<Node> nodes_;
    std::string strings_;
    std::vector<std::uint32_t> line_starts_;
    std::string text_;
};

class JsonValue {
  public:
    JsonValue(const Document& document, std::uint32_t index) : document_(&document), index_(index) {}

    [[nodiscard]] JsonKind kind() const { return node().kind; }
    // A string's characters; a number or literal as written.
    [[nodiscard]] std::string_view text() const {
        return std::string_view(document_->strings_).substr(node().text_begin, node().text_size);
    }
    [[nodiscard]] std::optional<std::uint64_t> unsigned_integer() const;
    [[nodiscard]] const Document& document() const { return *document_; }
    [[nodiscard]] std::uint32_t index() const { return index_; }
    // The value as a message shows it: "0x8086", 12, an object.
    [[nodiscard]] std::string shown() const;

    // What a container holds; of an object, keys and values in turn. Nothing for other values.
    [[nodiscard]] std::optional<JsonValue> first_child() const;
    [[nodiscard]] std::optional<JsonValue> next_in(const JsonValue& parent) const;

  private:
    [[nodiscard]] const Document::Node& node() const { return document_->nodes_[index_]; }
    const Document* document_;
    std::uint32_t index_;
};

}  // namespace iommud::policy
