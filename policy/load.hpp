// Policy files into a Policy: all or nothing. A pure function of the files' text, the machine's names and its memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <tl/expected.hpp>

#include "policy/diagnostic.hpp"
#include "policy/names.hpp"
#include "policy/policy.hpp"

namespace iommud::policy {

struct SourceFile {
    std::string name;  // as messages show it
    std::string text;
};

inline constexpr std::size_t max_diagnostics = 100;

// Every error of every file, sorted by place; at most max_diagnostics, then one that counts the rest. The order of
// `files` changes nothing but the numbers of rules. No files: a policy that denies everything.
[[nodiscard]] tl::expected<Policy, Diagnostics> load(std::span<const SourceFile> files, const Names& names,
                                                     std::uint64_t host_total_memory);
// The same; `warnings` are those of Policy::warnings, or with errors as many as could be found in spite of them.
[[nodiscard]] tl::expected<Policy, Diagnostics> load(std::span<const SourceFile> files, const Names& names,
                                                     std::uint64_t host_total_memory, Diagnostics& warnings);

// What holds when no policy could be loaded.
[[nodiscard]] Policy deny_everything(const Names& names, std::uint64_t host_total_memory);

}  // namespace iommud::policy
