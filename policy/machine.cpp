#include "policy/machine.hpp"

#include <unistd.h>

#include <iterator>

namespace iommud::policy {
namespace {

Loaded load_read(FoldersRead read) {
    Loaded result;
    result.errors = std::move(read.refusals);
    for (const SourceFile& file : read.files) {
        result.files.push_back(file.name);
    }
    const auto names = read_names("");
    if (!names) {
        result.errors.push_back(names.error());
        return result;
    }
    auto policy = load(read.files, *names, machine_memory(), result.warnings);
    if (!policy) {
        result.errors.insert(result.errors.end(), std::make_move_iterator(policy.error().begin()),
                             std::make_move_iterator(policy.error().end()));
    } else if (result.errors.empty()) {
        result.policy = std::move(*policy);
    }
    return result;
}

}  // namespace

std::uint64_t machine_memory() {
    return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

Loaded load_folders(std::span<const std::string> folders, std::uint32_t owner) {
    return load_read(read_folders(folders, owner));
}

Loaded load_paths(std::span<const std::string> paths) {
    FoldersRead read;
    for (const std::string& path : paths) {
        read_named(path, read);
    }
    return load_read(std::move(read));
}

}  // namespace iommud::policy
