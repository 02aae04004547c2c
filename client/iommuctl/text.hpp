// Text for people's terminals.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace iommud::ctl {

struct Style {
    bool legend = true;  // headers, and a sentence where there is nothing
    bool colour = false;
};

// Strings from elsewhere cannot steer the terminal: control characters, those that turn the direction of text, and what
// is not UTF-8 become \xNN or \u{NNNN}.
[[nodiscard]] std::string printable(std::string_view text);

// `text` in bold, if style.colour. `text` is printed as it is.
[[nodiscard]] std::string bold(std::string_view text, const Style& style);
// The same, so that nobody overlooks it.
[[nodiscard]] std::string loud(std::string_view text, const Style& style);

enum class Align { left, right };

struct Column {
    std::string title;
    Align align = Align::left;
};

// Lines of cells below titles, as wide as they need to be. Cells are made printable here.
class Table {
  public:
    // `nothing`: the sentence for a table without lines.
    Table(std::vector<Column> columns, std::string nothing)
        : columns_(std::move(columns)), nothing_(std::move(nothing)) {}
    // Exactly one cell for each column; an empty one is printed as "-".
    void add(std::vector<std::string> cells);
    [[nodiscard]] std::string text(const Style& style) const;

  private:
    [[nodiscard]] std::string line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) const;

    std::vector<Column> columns_;
    std::string nothing_;
    std::vector<std::vector<std::string>> lines_;
};

// "Address: 0000:00:04.0" lines, the values below each other and made printable.
[[nodiscard]] std::string details(const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace iommud::ctl
