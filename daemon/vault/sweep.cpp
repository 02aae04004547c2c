#include "daemon/vault/sweep.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <memory>
#include <string>

#include "daemon/base/pidfd.hpp"
#include "daemon/vault/files.hpp"
#include "daemon/vault/holder.hpp"

namespace iommud::vault {
namespace {

constexpr int clean_passes = 3;  // each by itself shows what is to be shown
constexpr int most_busy_passes = 64;
constexpr int pause_ms = 50;
constexpr std::size_t most_threads = 65536;  // of one user's that run at once: some 10 MiB
constexpr std::chrono::seconds longest_sweep{60};

std::optional<pid_t> number_in(std::string_view name) {
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    return error == std::errc{} && end == name.data() + name.size() ? std::optional(pid) : std::nullopt;
}

// The user's own, and the subordinate ones, which its processes can take.
Result<std::vector<UidRange>> read_uids_of(uid_t uid) {
    const auto passwd = read_whole("/etc/passwd");
    const auto subuid = read_whole("/etc/subuid");
    if (!passwd || !subuid) {
        return tl::unexpected(passwd ? subuid.error() : passwd.error());
    }
    return uids_of(uid, *passwd, *subuid);
}

// What became of a process whose number was listed. One that is gone may have left a child, which is looked at under
// its own number, or, when it has got a lower one, in the next pass.
enum class Look : std::uint8_t { fine, lowered, gone };

Look lower_one(pid_t pid, const Sweep& sweep, const std::vector<UidRange>& uids) {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.valid()) {
        return Look::gone;
    }
    const std::optional<bool> theirs = is_of(read_proc(fmt::format("/proc/{}/status", pid)), uids);
    if (!theirs) {
        return Look::gone;
    }
    rlimit now{};
    if (*theirs && ::prlimit(pid, RLIMIT_MEMLOCK, nullptr, &now) != 0) {
        return Look::gone;
    }
    if (!*theirs || !sweep.too_high(now)) {
        return Look::fine;
    }
    const rlimit wanted{std::min(now.rlim_cur, sweep.allowed), sweep.allowed};
    const auto set = set_memlock(pidfd.borrow(), wanted);
    return set || set.error().code != ErrorCode::access_denied ? Look::lowered : Look::fine;  // that: it has exited
}

// Calls `look` with the number of each process, as it is listed: who forks and exits without a pause would be gone by
// the time that a list of many is read. False: /proc cannot be read.
template <class Function>
bool for_each_process(const Function& look) {
    constexpr std::size_t one_entry = 48;
    const UniqueFd folder(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    alignas(dirent64) std::array<char, 512> entries;
    for (;;) {
        long size = ::syscall(SYS_getdents64, folder.get(), entries.data(), one_entry);
        if (size < 0 && errno == EINVAL) {  // a longer name, and so no process
            size = ::syscall(SYS_getdents64, folder.get(), entries.data(), entries.size());
        }
        if (size <= 0) {
            return size == 0;
        }
        for (long at = 0; at < size;) {
            const auto* const entry = reinterpret_cast<const dirent64*>(entries.data() + at);
            if (const auto pid = number_in(entry->d_name)) {
                look(*pid);
            }
            at += entry->d_reclen;
        }
    }
}

struct Seen {
    std::size_t lowered = 0;
    std::size_t gone = 0;
};

// Nothing when /proc cannot be read.
std::optional<Seen> pass(const Sweep& sweep, const std::vector<UidRange>& uids) {
    Seen seen;
    const bool read = for_each_process([&](pid_t pid) {
        const Look look = lower_one(pid, sweep, uids);
        seen.lowered += look == Look::lowered ? 1 : 0;
        seen.gone += look == Look::gone ? 1 : 0;
    });
    return read ? std::optional(seen) : std::nullopt;
}

// The threads of the user's that may be in fork(2). A child has its parent's limit from early in that call, and is to
// be seen only at its end, which is far away where there is much memory to copy: one that was begun before its parent
// was lowered brings forth what was not lowered.
class Forks {
  public:
    explicit Forks(const std::vector<UidRange>& uids) {
        const bool read = for_each_process([this, &uids](pid_t pid) {
            const std::string status = read_proc(fmt::format("/proc/{}/status", pid));
            if (pid != ::getpid() && is_of(status, uids).value_or(false)) {
                add(pid, longest_fork(status));
            }
        });
        all_known_ = all_known_ && read;
    }
    // Whether one of them may still be in the same call. Looks again.
    [[nodiscard]] bool any_left() {
        std::erase_if(threads_, [](const Thread& thread) {
            const auto now = parse_thread(read_proc(thread.stat));
            return !now || now->started != thread.first.started || !now->may_fork() ||
                   now->ran - thread.first.ran >= thread.longest;
        });
        return !all_known_ || !threads_.empty();
    }

  private:
    struct Thread {
        std::string stat;  // the file
        ThreadStat first;
        std::uint64_t longest;  // that its fork can run
    };
    void add(pid_t pid, std::uint64_t longest) {
        const std::string folder = fmt::format("/proc/{}/task", pid);
        const std::unique_ptr<DIR, int (*)(DIR*)> tasks(::opendir(folder.c_str()), ::closedir);
        if (!tasks && errno != ENOENT && errno != ESRCH) {  // those: it has exited
            all_known_ = false;
        }
        while (const dirent* entry = tasks ? ::readdir(tasks.get()) : nullptr) {  // NOLINT(concurrency-mt-unsafe)
            const std::string stat = fmt::format("{}/{}/stat", folder, entry->d_name);
            const auto now = number_in(entry->d_name) ? parse_thread(read_proc(stat)) : std::nullopt;
            if (now && now->may_fork()) {
                all_known_ = all_known_ && threads_.size() < most_threads;
                if (all_known_) {
                    threads_.push_back({stat, *now, longest});
                }
            }
        }
    }
    std::vector<Thread> threads_;
    bool all_known_ = true;  // else nothing shows that there are no others: the sweep is not clean
};

}  // namespace

std::optional<bool> is_of(std::string_view status, const std::vector<UidRange>& uids) {
    constexpr std::string_view key = "\nUid:";
    const std::size_t at = status.find(key);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view line = status.substr(at + key.size());
    line = line.substr(0, line.find('\n'));
    int numbers = 0;
    bool found = false;
    while (!line.empty()) {
        line.remove_prefix(1);  // a tab
        std::uint32_t uid = 0;
        const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), uid);
        if (error != std::errc{}) {
            return std::nullopt;
        }
        line.remove_prefix(static_cast<std::size_t>(end - line.data()));
        ++numbers;
        found =
            found || std::any_of(uids.begin(), uids.end(), [uid](const auto& range) { return range.contains(uid); });
    }
    return numbers == 4 ? std::optional(found) : std::nullopt;
}

std::optional<ThreadStat> parse_thread(std::string_view stat) {
    const std::size_t name = stat.rfind(')');  // which may have any character in it
    if (name == std::string_view::npos || name + 2 >= stat.size()) {
        return std::nullopt;
    }
    ThreadStat thread{.state = stat[name + 2]};
    std::array<std::uint64_t, 23> fields{};  // by their numbers in proc_pid_stat(5)
    const char* at = stat.data() + name + 3;
    const char* const end = stat.data() + stat.size();
    for (std::size_t i = 4; i < fields.size(); ++i) {
        at = std::find_if_not(at, end, [](char c) { return c == ' '; });
        const bool negative = at != end && *at == '-';
        const auto [rest, error] = std::from_chars(at + (negative ? 1 : 0), end, fields[i]);
        if (error != std::errc{}) {
            return std::nullopt;
        }
        at = rest;
    }
    thread.ran = fields[14] + fields[15];
    thread.started = fields[22];
    return thread;
}

std::uint64_t longest_fork(std::string_view status) {
    constexpr std::uint64_t ticks_at_least = 300;
    constexpr std::uint64_t kib_in_a_tick = 256;
    constexpr std::string_view key = "\nVmPTE:";
    std::uint64_t page_tables = 0;  // KiB
    if (const std::size_t at = status.find(key); at != std::string_view::npos) {
        std::string_view rest = status.substr(at + key.size());
        rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
        std::from_chars(rest.data(), rest.data() + rest.size(), page_tables);
    }
    return ticks_at_least + page_tables / kib_in_a_tick;
}

bool lower_all(const Sweep& sweep) {
    if (read_proc("/proc/1/status").empty()) {
        return false;  // processes of others are hidden (ProtectProc=): what is not seen is not clean
    }
    const auto uids = read_uids_of(sweep.uid);
    const auto end = std::chrono::steady_clock::now() + longest_sweep;
    std::optional<Forks> forks;
    int clean = 0;
    for (int busy = 0; uids && busy < most_busy_passes && std::chrono::steady_clock::now() < end;) {
        const bool settled = forks && !forks->any_left();
        const auto seen = pass(sweep, *uids);
        if (!seen) {
            return false;
        }
        if (seen->lowered > 0) {
            ++busy;
            clean = 0;
            forks.reset();
            continue;
        }
        if (!forks) {
            forks.emplace(*uids);  // nobody is lowered after this
        }
        clean += settled && seen->gone == 0 ? 1 : 0;
        if (clean == clean_passes) {
            return true;
        }
        static_cast<void>(::poll(nullptr, 0, pause_ms));
    }
    return false;
}

}  // namespace iommud::vault
