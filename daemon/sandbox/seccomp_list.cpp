#include "daemon/sandbox/seccomp_list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

namespace iommud::sandbox {
namespace {

constexpr std::size_t deepest_include = 8;  // more is a circle

std::optional<std::uint64_t> parse_number(std::string_view text) {
    const bool hex = text.starts_with("0x");
    const std::string_view digits = hex ? text.substr(2) : text;
    std::uint64_t number = 0;
    const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, hex ? 16 : 10);
    const bool whole = error == std::errc{} && rest == digits.data() + digits.size();
    return whole ? std::optional(number) : std::nullopt;
}

std::vector<std::string> words_of(std::string_view line) {
    std::istringstream stream{std::string(line.substr(0, line.find('#')))};
    std::vector<std::string> words;
    for (std::string word; stream >> word;) {
        words.push_back(word);
    }
    return words;
}

// `words` is "argN == V" or "argN mask M == V".
std::optional<Condition> parse_condition(const std::vector<std::string>& words) {
    const bool masked = words.size() == 5 && words[1] == "mask";
    if ((words.size() != 3 && !masked) || words[words.size() - 2] != "==" || words[0].size() != 4 ||
        !words[0].starts_with("arg") || words[0][3] < '0' || words[0][3] > '5') {
        return std::nullopt;
    }
    const auto mask = masked ? parse_number(words[2]) : std::optional<std::uint64_t>(0xffffffff);
    const auto value = parse_number(words.back());
    if (!mask || !value || (*value & ~*mask) != 0) {
        return std::nullopt;  // a value with bits outside the mask never matches
    }
    return Condition{static_cast<unsigned>(words[0][3] - '0'), *mask, *value};
}

std::optional<Alternative> parse_alternative(const std::vector<std::string>& words) {
    Alternative alternative;
    std::vector<std::string> condition_words;
    for (std::size_t i = 1; i <= words.size(); ++i) {  // one past the end closes the last condition
        if (i < words.size() && words[i] != "&") {
            condition_words.push_back(words[i]);
            continue;
        }
        const auto condition = parse_condition(condition_words);
        if (!condition) {
            return std::nullopt;
        }
        alternative.push_back(*condition);
        condition_words.clear();
    }
    std::sort(alternative.begin(), alternative.end());
    const auto same_argument = [](const Condition& a, const Condition& b) { return a.argument == b.argument; };
    if (std::adjacent_find(alternative.begin(), alternative.end(), same_argument) != alternative.end()) {
        return std::nullopt;  // libseccomp takes one condition per argument
    }
    return alternative;
}

void allow(Rules& rules, const std::string& syscall, Alternative alternative) {
    std::set<Alternative>& alternatives = rules[syscall];
    if (alternative.empty() || alternatives.contains({})) {
        alternatives = {{}};
        return;
    }
    alternatives.insert(std::move(alternative));
}

Result<void> parse_into(Rules& rules, std::string_view name, const ReadList& read_list, std::size_t depth) {
    const auto text = read_list(name);
    if (!text) {
        return fail(ErrorCode::invalid_argument, fmt::format("{}.list: no such list", name));
    }
    std::istringstream stream(*text);
    std::size_t number = 0;
    for (std::string line; std::getline(stream, line);) {
        ++number;
        const auto error = [&](std::string_view what) {
            return fail(ErrorCode::invalid_argument, fmt::format("{}.list:{}: {}", name, number, what));
        };
        const std::vector<std::string> words = words_of(line);
        if (words.empty()) {
            continue;
        }
        if (words[0] == "include") {
            if (words.size() != 2 || depth == deepest_include) {
                return error("include takes one name, and lists do not include each other in a circle");
            }
            if (auto included = parse_into(rules, words[1], read_list, depth + 1); !included) {
                return included;
            }
            continue;
        }
        const auto alternative = words.size() == 1 ? std::optional(Alternative{}) : parse_alternative(words);
        if (!alternative) {
            return error("expected SYSCALL [argN [mask M] == V [& ...]], each argument once");
        }
        allow(rules, words[0], *alternative);
    }
    return {};
}

}  // namespace

Result<Rules> parse_list(std::string_view name, const ReadList& read_list) {
    Rules rules;
    if (const auto parsed = parse_into(rules, name, read_list, 0); !parsed) {
        return tl::unexpected(parsed.error());
    }
    return rules;
}

}  // namespace iommud::sandbox
