// Files that nobody would write by hand, through the whole way from folder to policy: each is refused by name, with
// little time and memory.
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "policy/folders.hpp"
#include "tests/unit/policy/support.hpp"

namespace iommud::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

namespace fs = std::filesystem;

#ifdef IOMMUD_SANITIZED
constexpr std::size_t most_memory = std::size_t{16} << 30;  // the sanitizer's own
#else
constexpr std::size_t most_memory = 16 << 20;
#endif
constexpr unsigned most_seconds = 60;  // the bound is 1 s on an idle machine; this one ends a hang

// "VmHWM:    1234 kB" of this process, in bytes.
std::size_t memory_of(const std::string& field) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(field + ":")) {
            return std::stoul(line.substr(field.size() + 1)) << 10;
        }
    }
    return 0;
}

class HostileFile : public testing::Test {
  protected:
    HostileFile() {
        std::string pattern = testing::TempDir() + "iommud-hostile-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
        fs::permissions(folder_, fs::perms(0755));
    }
    ~HostileFile() override { fs::remove_all(folder_); }

    [[nodiscard]] fs::path path(const std::string& name = "a.json") const { return folder_ / name; }
    void write(const std::string& text, const std::string& name = "a.json") const {
        std::ofstream(path(name), std::ios::binary) << text;
        fs::permissions(path(name), fs::perms(0644));
    }

    // Everything wrong with the folder, without its own name before each.
    [[nodiscard]] std::vector<std::string> faults(std::uint32_t owner = ::getuid()) const {
        const std::vector<std::string> folders{folder_};
        const FoldersRead read = read_folders(folders, owner);
        Diagnostics found = read.refusals;
        const auto policy = load(read.files, machine(), host_total);
        if (!policy) {
            found.insert(found.end(), policy.error().begin(), policy.error().end());
        }
        std::vector<std::string> texts;
        for (const Diagnostic& diagnostic : found) {
            texts.push_back(diagnostic.text().substr(folder_.string().size() + 1));
        }
        return texts;
    }

    // The same in a process of its own, which dies when it takes too long; its memory may grow by most_memory at most.
    [[nodiscard]] std::vector<std::string> faults_within_bounds() const {
        const fs::path answer = folder_ / "answer";
        const pid_t child = ::fork();
        if (child == 0) {
            ::alarm(most_seconds);
            std::ofstream("/proc/self/clear_refs") << 5;  // VmHWM begins anew
            const std::size_t before = memory_of("VmRSS");
            const std::vector<std::string> found = faults();
            const std::size_t peak = memory_of("VmHWM");
            std::ofstream out(answer);
            for (const std::string& fault : found) {
                out << fault << '\n';
            }
            out.close();
            ::_exit(peak < before + most_memory ? 0 : 3);
        }
        int status = -1;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
        EXPECT_NE(WEXITSTATUS(status), 3) << "it took more memory than it may";
        std::vector<std::string> lines;
        std::ifstream in(answer);
        for (std::string line; std::getline(in, line);) {
            lines.push_back(line);
        }
        return lines;
    }

    fs::path folder_;
};

TEST_F(HostileFile, OfTenMegabytes) {
    write(std::string(10 << 20, '['));

    EXPECT_THAT(faults_within_bounds(), ElementsAre("a.json: bigger than 1 MiB"));
}

TEST_F(HostileFile, NestedTenThousandDeep) {
    write(std::string(10000, '[') + std::string(10000, ']'));

    EXPECT_THAT(faults_within_bounds(), ElementsAre("a.json:1:17: nested more than 16 deep"));
}

TEST_F(HostileFile, OfAsManyValuesAsFit) {
    std::string text = "[0";
    for (std::size_t i = 1; i < (std::size_t{1} << 19) - 2; ++i) {
        text += ",0";
    }
    write(text + "]");

    EXPECT_THAT(faults_within_bounds(), ElementsAre("a.json:1:400000: more than 200000 values in one file"));
}

TEST_F(HostileFile, OfJustFewEnoughValues) {
    std::string text = R"({"version":1,"rules":[0)";
    for (std::size_t i = 1; i < 190000; ++i) {
        text += ",0";
    }
    write(text + "]}");

    const auto found = faults_within_bounds();

    ASSERT_EQ(found.size(), 101U);
    EXPECT_EQ(found.front(), "a.json:1:23: /rules/0: 0: an object, in braces");
    EXPECT_EQ(found.back(), "a.json: and 189900 more errors");
}

TEST_F(HostileFile, OfDuplicateKeys) {
    std::string text = R"({"version":1)";
    for (int i = 0; i < 80000; ++i) {
        text += R"(,"version":1)";
    }
    write(text + "}");

    const auto found = faults_within_bounds();

    ASSERT_EQ(found.size(), 101U);
    EXPECT_EQ(found.front(), R"(a.json:1:14: /version: "version" is given twice)");
    EXPECT_EQ(found.back(), "a.json: and 79900 more errors");
}

TEST_F(HostileFile, OfUnknownKeys) {
    std::string text = R"({"version":1)";
    for (int i = 0; i < 60000; ++i) {
        text += R"(,"versio)" + std::to_string(i) + R"(":1)";
    }
    write(text + "}");

    EXPECT_EQ(faults_within_bounds().size(), 101U);
}

TEST_F(HostileFile, OfOneString) {
    write("\"" + std::string((1 << 20) - 2, 'x') + "\"");

    EXPECT_THAT(faults_within_bounds(), ElementsAre(HasSubstr("…\": an object, in braces")));
}

TEST_F(HostileFile, OfEscapes) {
    std::string text = "\"";
    for (int i = 0; i < 170000; ++i) {
        text += "\\u202e";
    }
    write(text + "\"");

    EXPECT_THAT(faults_within_bounds(), ElementsAre(HasSubstr(": an object, in braces")));
}

TEST_F(HostileFile, OfBadRulesAfterAnother) {
    std::string text = R"({"version":1,"rules":[{"id":"r0","effect":"deny","modes":["legacy"]})";
    for (int i = 1; text.size() < (1 << 20) - 100; ++i) {
        text += R"(,{"id":"r)" + std::to_string(i) + R"(","effect":"deny","modes":["legacy"],"memory":"1MiB"})";
    }
    write(text + "]}");

    EXPECT_EQ(faults_within_bounds().size(), 101U);
}

TEST_F(HostileFile, WithANulAByteThatIsNotUtf8OrAMark) {
    write(std::string("{\"version\": 1}\0", 15), "a.json");
    write("{\"version\": 1, \"\xff\": 1}", "b.json");
    write("\xef\xbb\xbf{\"version\": 1}", "c.json");

    EXPECT_THAT(faults_within_bounds(),
                ElementsAre("a.json:1:15: a NUL byte: JSON is text", "b.json:1:17: a byte that is not UTF-8",
                            "c.json:1:1: a byte order mark: JSON is plain UTF-8 without one"));
}

TEST_F(HostileFile, WithUidsThatAreNone) {
    const auto text = [](const std::string& uids, const std::string& id) {
        return R"({"version": 1, "rules": [{"id": ")" + id + R"(", "effect": "deny", "subjects": [{"uids": )" + uids +
               "}]}]}";
    };
    write(text("\"-1\"", "a"), "a.json");
    write(text("-1", "b"), "b.json");
    write(text("\"2147483648\"", "c"), "c.json");
    write(text("\"4294967295\"", "d"), "d.json");
    write(text("\"0-4294967295\"", "e"), "e.json");

    EXPECT_THAT(faults_within_bounds(), ElementsAre(HasSubstr(R"("-1": a uid such as)"), HasSubstr("-1: a uid such as"),
                                                    HasSubstr(R"("2147483648": uids go up to 2147483647)"),
                                                    HasSubstr(R"("4294967295": uids go up to)"),
                                                    HasSubstr(R"("0-4294967295": uids go up to)")));
}

TEST_F(HostileFile, ThatIsAFifoALinkOrGroupWritable) {
    ASSERT_EQ(::mkfifo(path("fifo.json").c_str(), 0600), 0);
    write("{}", "outside");
    fs::create_symlink(path("outside"), path("link.json"));
    write("{}", "shared.json");
    fs::permissions(path("shared.json"), fs::perms(0664));

    EXPECT_THAT(faults_within_bounds(), ElementsAre("fifo.json: not a regular file", "link.json: a symbolic link",
                                                    "shared.json: writable by its group"));
}

TEST_F(HostileFile, OfAnotherOwner) {
    write("{\"version\": 1}");
    const std::vector<std::string> folders{folder_};

    const FoldersRead read = read_folders(folders, ::getuid() + 1);

    EXPECT_TRUE(read.files.empty());
    ASSERT_EQ(read.refusals.size(), 1U);
    EXPECT_THAT(read.refusals[0].text(), HasSubstr("owned by uid " + std::to_string(::getuid())));
}

// Lets a child read the folder and does `meanwhile` when it has read from a.json once: by tracing its system calls, so
// that it is neither before nor after.
template <class Meanwhile>
bool during_the_read(pid_t child, const fs::path& file, Meanwhile meanwhile) {
    int status = 0;
    bool done = false;
    if (::waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
        return false;
    }
    ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    bool reads = false;
    while (::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) == 0 && ::waitpid(child, &status, 0) == child &&
           WIFSTOPPED(status)) {
        __ptrace_syscall_info info{};
        if (done || ::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0) {
            continue;
        }
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
            const fs::path link = "/proc/" + std::to_string(child) + "/fd/" + std::to_string(info.entry.args[0]);
            std::error_code none;
            reads = info.entry.nr == SYS_read && fs::read_symlink(link, none) == file;
        } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && reads) {
            meanwhile();
            done = true;
        }
    }
    return done && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class SwappedFile : public HostileFile {
  protected:
    template <class Meanwhile>
    std::vector<std::string> faults_when(Meanwhile meanwhile) {
        write("{\"version\": 1}" + std::string(200000, ' '));
        const fs::path answer = folder_ / "answer";
        const pid_t child = ::fork();
        if (child == 0) {
            ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
            ::raise(SIGSTOP);
            const auto found = faults();
            std::ofstream out(answer);
            for (const std::string& fault : found) {
                out << fault << '\n';
            }
            out.close();
            ::_exit(0);
        }
        EXPECT_TRUE(during_the_read(child, fs::canonical(path()), meanwhile));
        std::ifstream in(answer);
        std::string line;
        std::vector<std::string> lines;
        while (std::getline(in, line)) {
            lines.push_back(line);
        }
        return lines;
    }
};

TEST_F(SwappedFile, IsGoodWhenNothingHappens) {
    EXPECT_THAT(faults_when([] {}), ElementsAre());
}

TEST_F(SwappedFile, IsRefusedWhenAnotherTakesItsName) {
    write("{\"version\": 1}", "other");

    EXPECT_THAT(faults_when([this] { fs::rename(path("other"), path()); }),
                ElementsAre("a.json: changed while it was read: load again"));
}

TEST_F(SwappedFile, IsRefusedWhenItGrows) {
    EXPECT_THAT(faults_when([this] { std::ofstream(path(), std::ios::app) << "  "; }),
                ElementsAre("a.json: changed while it was read: load again"));
}

TEST_F(SwappedFile, IsRefusedWhenItIsCutOff) {
    EXPECT_THAT(faults_when([this] { fs::resize_file(path(), 100); }),
                ElementsAre("a.json: changed while it was read: load again"));
}

TEST_F(SwappedFile, IsRefusedWhenOthersMayWriteIt) {
    EXPECT_THAT(faults_when([this] { fs::permissions(path(), fs::perms(0666)); }),
                ElementsAre("a.json: changed while it was read: load again"));
}

TEST_F(SwappedFile, ThatGrowsWithoutEndIsRefused) {
    EXPECT_THAT(faults_when([this] { std::ofstream(path(), std::ios::app) << std::string(2 << 20, ' '); }),
                ElementsAre("a.json: bigger than 1 MiB"));
}

}  // namespace
}  // namespace iommud::policy
