// What a holder of a direct lease could have its device read of what others freed (hazard C19, docs/KERNELS.md). Found
// out once, when the vault starts and before it has a system call list.
#pragma once

#include <string>
#include <string_view>

#include "daemon/ipc/freed_memory.hpp"

namespace iommud::vault {

// Whether the kernel clears pages when it gives them, by its command line; where that says nothing by its
// configuration's text, which is empty when it cannot be read.
[[nodiscard]] bool clears_pages(std::string_view command_line, std::string_view configuration);

// Of the running kernel. `keeper`: the program that asks it for MAP_FILE; the vault does no device ioctl. Waits for it.
// What cannot be found out is `exposed`.
[[nodiscard]] FreedMemory probe_freed_memory(const std::string& keeper);

}  // namespace iommud::vault
