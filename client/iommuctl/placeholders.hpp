// Descriptors by number in the arguments of a program: {lease}, {device:0000:00:04.0}, {iommu}, {container}, {group:N}.
// "{{" stands for a "{"; every other text is left alone.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/iommuctl/command_line.hpp"

namespace iommud::ctl {

// A descriptor's name and number in the program.
using FdNumbers = std::vector<std::pair<std::string, int>>;

// What is wrong with the placeholders in run.program, for a request such as `run`; empty: nothing. Said before anything
// is acquired.
[[nodiscard]] std::string placeholder_problem(const Run& run);

// `argument` with its placeholders replaced; fails with the name of one that has no descriptor.
[[nodiscard]] tl::expected<std::string, std::string> expand(std::string_view argument, const FdNumbers& fds);

// The environment variables that tell a program of its descriptors.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> environment_of(const FdNumbers& fds);

}  // namespace iommud::ctl
