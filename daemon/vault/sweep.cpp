#include "daemon/vault/sweep.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "daemon/base/pidfd.hpp"
#include "daemon/vault/files.hpp"
#include "daemon/vault/holder.hpp"

namespace iommud::vault {
namespace {

constexpr int most_passes = 64;
// A child has its parent's limit from early in fork(2), and is to be seen at its end: who was lowered in between may
// have one to come.
constexpr int clean_passes = 6;
constexpr int pause_ms = 50;

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

// True when the process had a limit that was too high. One that has exited, reaped or not, or cannot be looked at any
// more, had none: its number was listed, and its pidfd is of whoever has the number now, who is looked at in its own
// right.
bool lower_one(pid_t pid, const Sweep& sweep, const std::vector<UidRange>& uids) {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.valid()) {
        return false;
    }
    const std::optional<bool> theirs = is_of(read_proc(fmt::format("/proc/{}/status", pid)), uids);
    rlimit now{};
    if (!theirs.value_or(false) || ::prlimit(pid, RLIMIT_MEMLOCK, nullptr, &now) != 0 || !sweep.too_high(now)) {
        return false;
    }
    const rlimit wanted{std::min(now.rlim_cur, sweep.allowed), sweep.allowed};
    const auto set = set_memlock(pidfd.borrow(), wanted);
    return set || set.error().code != ErrorCode::access_denied;  // that: it has exited
}

// How many there were; nothing when /proc cannot be read.
std::optional<std::size_t> pass(const Sweep& sweep, const std::vector<UidRange>& uids) {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), ::closedir);
    if (!folder) {
        return std::nullopt;
    }
    std::size_t found = 0;
    while (const dirent* entry = ::readdir(folder.get())) {  // NOLINT(concurrency-mt-unsafe): there is one thread
        const auto pid = number_in(entry->d_name);
        found += pid && lower_one(*pid, sweep, uids) ? 1 : 0;
    }
    return found;
}

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

bool lower_all(const Sweep& sweep) {
    if (read_proc("/proc/1/status").empty()) {
        return false;  // processes of others are hidden (ProtectProc=): what is not seen is not clean
    }
    const auto uids = read_uids_of(sweep.uid);
    int clean = 0;
    for (int i = 0; uids && i < most_passes && clean < clean_passes; ++i) {
        const auto found = pass(sweep, *uids);
        if (!found) {
            return false;
        }
        clean = *found == 0 ? clean + 1 : 0;
        if (clean > 0 && clean < clean_passes) {
            static_cast<void>(::poll(nullptr, 0, pause_ms));
        }
    }
    return clean == clean_passes;
}

}  // namespace iommud::vault
