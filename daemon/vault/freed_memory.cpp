#include "daemon/vault/freed_memory.hpp"

#include <fcntl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "daemon/ipc/keeper_messages.hpp"
#include "daemon/vault/files.hpp"
#include "daemon/vault/nodes.hpp"

namespace iommud::vault {
namespace {

// As the kernel's kstrtobool takes it; nothing for what it does not take.
std::optional<bool> read_bool(std::string_view text) {
    if (text.starts_with('1') || text.starts_with('y') || text.starts_with('Y') || text.starts_with('t') ||
        text.starts_with('T') || text.starts_with("on") || text.starts_with("ON") || text.starts_with("On")) {
        return true;
    }
    if (text.starts_with('0') || text.starts_with('n') || text.starts_with('N') || text.starts_with('f') ||
        text.starts_with('F') || text.starts_with("of") || text.starts_with("OF") || text.starts_with("Of")) {
        return false;
    }
    return std::nullopt;
}

// The next word of a kernel command line, taken off it: spaces inside of quotation marks are part of a word.
std::string_view next_word(std::string_view& line) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t\n"), line.size()));
    bool quoted = false;
    std::size_t end = 0;
    for (; end < line.size() && (quoted || (line[end] != ' ' && line[end] != '\t' && line[end] != '\n')); ++end) {
        quoted = quoted != (line[end] == '"');
    }
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(end);
    return word;
}

enum class Answer { no, yes, unknown };

// The keeper's program, with the context as its third descriptor.
Answer has_map_file(const std::string& keeper) {
    auto context = open_context(KernelInterface::iommufd);
    if (!context) {
        return Answer::unknown;
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
        const std::array<const char*, 3> arguments{"iommud-keeper", ipc::keeper_probe_argument, nullptr};
        std::array<char*, 1> nothing{};
        const UniqueFd copy(::fcntl(context->get(), F_DUPFD_CLOEXEC, 64));  // where it is no longer in the way
        if (::dup2(copy.get(), ipc::keeper_control_fd) == ipc::keeper_control_fd) {
            ::execve(keeper.c_str(), const_cast<char* const*>(arguments.data()), nothing.data());
        }
        ::_exit(127);
    }
    int status = 0;
    while (pid > 0 && ::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0 || !WIFEXITED(status)) {
        return Answer::unknown;
    }
    return WEXITSTATUS(status) == ipc::keeper_probe_yes  ? Answer::yes
           : WEXITSTATUS(status) == ipc::keeper_probe_no ? Answer::no
                                                         : Answer::unknown;
}

}  // namespace

bool clears_pages(std::string_view command_line, std::string_view configuration) {
    constexpr std::string_view parameter = "init_on_alloc=";
    std::optional<bool> said;
    while (true) {
        const std::string_view word = next_word(command_line);
        if (word.empty() || word == "--") {  // what follows is for process 1
            break;
        }
        if (word.starts_with(parameter)) {
            said = read_bool(word.substr(parameter.size()));  // the last one holds
        }
    }
    const std::string with_line_ends = "\n" + std::string(configuration) + "\n";
    return said.value_or(with_line_ends.find("\nCONFIG_INIT_ON_ALLOC_DEFAULT_ON=y\n") != std::string::npos);
}

FreedMemory probe_freed_memory(const std::string& keeper) {
    if (has_map_file(keeper) == Answer::no) {
        return FreedMemory::unreachable;
    }
    utsname name{};
    const auto command_line = read_small("/proc/cmdline");
    const auto configuration =
        ::uname(&name) == 0 ? read_whole(std::string("/boot/config-") + name.release) : Result<std::string>("");
    const bool cleared = command_line && clears_pages(*command_line, configuration.value_or(""));
    return cleared ? FreedMemory::cleared : FreedMemory::exposed;
}

}  // namespace iommud::vault
