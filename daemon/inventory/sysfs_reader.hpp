// Reads small files and links below one directory, in practice /sys. Everything is bounded, nothing is followed out of
// a name that the caller gave, and "not there" is told from "cannot be read".
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "daemon/base/result.hpp"

namespace iommud {

enum class Found { yes, missing, unreadable };

// The text is set when `found` is yes.
struct Attribute {
    Found found = Found::unreadable;
    std::string text;
};

class SysfsReader {
  public:
    explicit SysfsReader(std::filesystem::path root) : root_(std::move(root)) {}

    // A file's content without the newline at its end; one longer than a page (4,096 bytes) is unreadable.
    [[nodiscard]] Attribute attribute(const std::filesystem::path& relative) const;

    // The last component of where a link points.
    [[nodiscard]] Attribute link_name(const std::filesystem::path& relative) const;

    // Where a link points, as it is written.
    [[nodiscard]] Attribute link_target(const std::filesystem::path& relative) const;

    // Whether a file, a directory or the target of a link is there.
    [[nodiscard]] Found exists(const std::filesystem::path& relative) const;

    // A number that no other entry of this file system has had since boot: the inode of a file or directory of sysfs
    // has a generation in it. 0: not there.
    [[nodiscard]] std::uint64_t identity(const std::filesystem::path& relative) const;

    // Names in a directory, sorted; at most 65,536. `names` is empty unless the answer is yes.
    [[nodiscard]] Found list(const std::filesystem::path& relative, std::vector<std::string>& names) const;

  private:
    std::filesystem::path root_;
};

}  // namespace iommud
