// The policy of this machine: its names, its memory and its files, read and loaded. One way for the monitor and for
// `iommuctl policy check`.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "policy/folders.hpp"

namespace iommud::policy {

struct Loaded {
    std::optional<Policy> policy;  // absent when there is any error
    Diagnostics errors;            // what may not be read, then what load() says of the rest
    Diagnostics warnings;
    std::vector<std::string> files;  // that were read
};

// All memory of the machine, in bytes.
[[nodiscard]] std::uint64_t machine_memory();

// As the monitor does: see read_folders().
[[nodiscard]] Loaded load_folders(std::span<const std::string> folders, std::uint32_t owner);

// As a person names them: see read_source(). Of a folder, its *.json.
[[nodiscard]] Loaded load_paths(std::span<const std::string> paths);

}  // namespace iommud::policy
