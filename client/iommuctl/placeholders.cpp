#include "client/iommuctl/placeholders.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace iommud::ctl {
namespace {

constexpr std::string_view device_prefix = "device:";

// A run of literal text, or a placeholder's name.
struct Piece {
    bool name = false;
    std::string text;
};

// The length of the placeholder at the start of `text`, braces included: "{word}" or "{word:more}"; 0: none. What has
// another form ("{ }", "{\"a\": 1}") is text.
std::size_t placeholder_length(std::string_view text) {
    const std::size_t word = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz", 1);
    if (word == std::string_view::npos || word == 1) {
        return 0;
    }
    if (text[word] == '}') {
        return word + 1;
    }
    const std::size_t end = text[word] == ':' ? text.find_first_of("{} \t\n\"'", word) : std::string_view::npos;
    return end != std::string_view::npos && text[end] == '}' ? end + 1 : 0;
}

std::vector<Piece> pieces_of(std::string_view argument) {
    std::vector<Piece> pieces;
    std::string literal;
    while (!argument.empty()) {
        std::size_t used = 1;
        if (argument.starts_with("{{")) {
            literal += '{';
            used = 2;
        } else if (argument.front() == '{' && (used = placeholder_length(argument)) > 0) {
            pieces.push_back({false, std::exchange(literal, {})});
            pieces.push_back({true, std::string(argument.substr(1, used - 2))});
        } else {
            literal += argument.front();
            used = 1;
        }
        argument.remove_prefix(used);
    }
    pieces.push_back({false, std::move(literal)});
    return pieces;
}

std::string problem_of(const std::string& name, const Run& run) {
    const std::string mode = run.mode.empty() ? "managed" : run.mode;
    if (name.starts_with(device_prefix)) {
        const std::string address = name.substr(device_prefix.size());
        const bool asked = std::find(run.devices.begin(), run.devices.end(), address) != run.devices.end();
        return asked ? "" : fmt::format("{{{}}}: --device {} is missing", name, address);
    }
    const bool legacy = name == "container" || name.starts_with("group:");
    if (name == "iommu" || legacy) {
        const char* giving = legacy ? "legacy" : "direct";
        return mode == giving ? "" : fmt::format("{{{}}}: mode {} gives none, only --mode {} does", name, mode, giving);
    }
    return name == "lease" ? "" : fmt::format("{{{0}}} is no placeholder; {{{{{0}}} stands for the text {{{0}}}", name);
}

std::optional<int> number_of(const FdNumbers& fds, std::string_view name) {
    const auto found = std::find_if(fds.begin(), fds.end(), [name](const auto& fd) { return fd.first == name; });
    return found == fds.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

std::string placeholder_problem(const Run& run) {
    for (const std::string& argument : run.program) {
        for (const Piece& piece : pieces_of(argument)) {
            if (std::string problem = piece.name ? problem_of(piece.text, run) : ""; !problem.empty()) {
                return problem;
            }
        }
    }
    return "";
}

tl::expected<std::string, std::string> expand(std::string_view argument, const FdNumbers& fds) {
    std::string expanded;
    for (const Piece& piece : pieces_of(argument)) {
        if (!piece.name) {
            expanded += piece.text;
            continue;
        }
        const auto number = number_of(fds, piece.text);
        if (!number) {
            return tl::unexpected(piece.text);
        }
        expanded += std::to_string(*number);
    }
    return expanded;
}

std::vector<std::pair<std::string, std::string>> environment_of(const FdNumbers& fds) {
    std::string all;
    std::string devices;
    for (const auto& [name, number] : fds) {
        all += fmt::format("{}{}={}", all.empty() ? "" : " ", name, number);
        if (name.starts_with(device_prefix)) {
            devices += fmt::format("{}{}={}", devices.empty() ? "" : " ", name.substr(device_prefix.size()), number);
        }
    }
    std::vector<std::pair<std::string, std::string>> environment{{"IOMMUD_FDS", all}, {"IOMMUD_DEVICE_FDS", devices}};
    if (const auto lease = number_of(fds, "lease")) {
        environment.emplace_back("IOMMUD_LEASE_FD", std::to_string(*lease));
    }
    return environment;
}

}  // namespace iommud::ctl
