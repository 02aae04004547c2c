// seccomp_compile FOLDER NAME OUTPUT: turns FOLDER/NAME.list into a header with the BPF program, at build time, so that
// no daemon links libseccomp or parses anything before it is confined. What is not in the list kills the process.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "daemon/base/unique_fd.hpp"
#include "daemon/sandbox/seccomp_list.hpp"

namespace iommud::sandbox {
namespace {

using Filter = std::unique_ptr<void, decltype(&::seccomp_release)>;

std::optional<std::string> read_file(const std::filesystem::path& path) {
    std::ifstream file(path);
    if (!file) {
        return std::nullopt;
    }
    return std::string(std::istreambuf_iterator<char>(file), {});
}

void add_rule(void* filter, const std::string& name, const Alternative& alternative) {
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) {
        throw Fatal(fmt::format("{}: no such system call on any architecture", name));
    }
    if (number < 0) {
        return;  // of another architecture only ("arch_prctl", "open"): nothing to allow here
    }
    std::vector<scmp_arg_cmp> arguments;
    for (const Condition& condition : alternative) {
        arguments.push_back({condition.argument, SCMP_CMP_MASKED_EQ, condition.mask, condition.value});
    }
    const int error = ::seccomp_rule_add_exact_array(filter, SCMP_ACT_ALLOW, number,
                                                     static_cast<unsigned>(arguments.size()), arguments.data());
    if (error != 0) {
        throw Fatal(errno_message(fmt::format("{}: cannot add the rule", name), -error));
    }
}

std::vector<sock_filter> compile(const Rules& rules) {
    const Filter filter(::seccomp_init(SCMP_ACT_KILL_PROCESS), &::seccomp_release);
    if (!filter || ::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0 ||
        ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0) {  // 2: a binary tree, not a long chain
        throw Fatal("libseccomp refuses a filter");
    }
    for (const auto& [name, alternatives] : rules) {
        for (const Alternative& alternative : alternatives) {
            add_rule(filter.get(), name, alternative);
        }
    }
    const UniqueFd file(::memfd_create("filter", MFD_CLOEXEC));
    if (!file.valid() || ::seccomp_export_bpf(filter.get(), file.get()) != 0) {
        throw Fatal("libseccomp exports no BPF program");
    }
    const off_t size = ::lseek(file.get(), 0, SEEK_END);
    std::vector<sock_filter> program(static_cast<std::size_t>(std::max<off_t>(size, 0)) / sizeof(sock_filter));
    const std::size_t bytes = program.size() * sizeof(sock_filter);
    if (program.empty() || program.size() > BPF_MAXINSNS ||
        ::pread(file.get(), program.data(), bytes, 0) != static_cast<ssize_t>(bytes)) {
        throw Fatal("the program is empty, or longer than the kernel takes");
    }
    return program;
}

std::string as_header(const std::string& name, const std::vector<sock_filter>& program) {
    std::string text = fmt::format(
        "// Made from daemon/sandbox/{}.list by seccomp_compile.\n#pragma once\n\n#include <linux/filter.h>\n\n"
        "#include <array>\n\nnamespace iommud::sandbox {{\n\ninline constexpr std::array<sock_filter, {}> "
        "{}_filter{{{{\n",
        name, program.size(), name);
    for (const sock_filter& step : program) {
        text += fmt::format("    {{{:#06x}, {}, {}, {:#010x}}},\n", step.code, step.jt, step.jf, step.k);
    }
    return text + "}};\n\n}  // namespace iommud::sandbox\n";
}

void run(const std::filesystem::path& folder, const std::string& name, const std::filesystem::path& output) {
    const auto read_list = [&folder](std::string_view list) {
        return read_file(folder / fmt::format("{}.list", list));
    };
    const auto rules = parse_list(name, read_list);
    if (!rules) {
        throw Fatal(rules.error().message);
    }
    std::ofstream file(output);
    file << as_header(name, compile(*rules));
    file.close();
    if (!file) {
        throw Fatal(fmt::format("{}: cannot write", output.string()));
    }
}

}  // namespace
}  // namespace iommud::sandbox

int main(int argc, char** argv) {
    if (argc != 4) {
        static_cast<void>(std::fputs("usage: seccomp_compile FOLDER NAME OUTPUT\n", stderr));
        return 2;
    }
    try {
        iommud::sandbox::run(argv[1], argv[2], argv[3]);
        return 0;
    } catch (const std::exception& error) {
        static_cast<void>(std::fprintf(stderr, "seccomp_compile: %s: %s\n", argv[2], error.what()));
        return 1;
    }
}
