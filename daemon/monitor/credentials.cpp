#include "daemon/monitor/credentials.hpp"

#include <fmt/format.h>
#include <linux/capability.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <vector>

#include "daemon/base/pidfd.hpp"
#include "daemon/monitor/identity.hpp"

namespace iommud::monitor {
namespace {

// Reading them takes the monitor 10 us each, for which all others wait.
constexpr std::size_t most_threads = 256;

// The rest of the line that starts with `key`, a tab included.
std::string_view line_of(std::string_view text, std::string_view key) {
    for (std::size_t at = 0; at < text.size(); at = std::min(text.find('\n', at), text.size() - 1) + 1) {
        if (text.substr(at).starts_with(key)) {
            const std::string_view rest = text.substr(at + key.size());
            return rest.substr(0, rest.find('\n'));
        }
    }
    return {};
}

template <class Number, std::size_t Count>
bool read_numbers(std::string_view line, int base, std::array<Number, Count>& numbers) {
    for (Number& number : numbers) {
        line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
        const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number, base);
        if (error != std::errc{}) {
            return false;
        }
        line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    }
    return line.empty();
}

tl::unexpected<Error> refused(std::string_view why) {
    return fail(ErrorCode::access_denied, fmt::format("mode direct: {}", why));
}

}  // namespace

std::optional<Credentials> parse_credentials(std::string_view text) {
    Credentials credentials;
    if (!read_numbers(line_of(text, "Uid:"), 10, credentials.uids) ||
        !read_numbers(line_of(text, "Gid:"), 10, credentials.gids)) {
        return std::nullopt;
    }
    constexpr std::string_view effective = "CapEff:";
    for (const std::string_view set :
         {std::string_view("CapInh:"), std::string_view("CapPrm:"), effective, std::string_view("CapAmb:")}) {
        std::array<std::uint64_t, 1> mask{};
        if (!read_numbers(line_of(text, set), 16, mask)) {
            return std::nullopt;
        }
        credentials.capabilities |= mask[0];
        credentials.effective = set == effective ? mask[0] : credentials.effective;
    }
    return credentials;
}

Result<void> counted_against(const Credentials& credentials, uid_t uid, gid_t gid) {
    const auto is = [](auto id) { return [id](auto other) { return other == id; }; };
    if (!std::all_of(credentials.uids.begin(), credentials.uids.end(), is(uid)) ||
        !std::all_of(credentials.gids.begin(), credentials.gids.end(), is(gid))) {
        return refused(
            "the real, effective and saved user or group of the caller are not the same: it runs a set-uid or set-gid "
            "program, and its memory would be counted for somebody else");
    }
    if ((credentials.capabilities & (std::uint64_t{1} << CAP_IPC_LOCK)) != 0) {
        return refused("the caller has CAP_IPC_LOCK, with which the kernel counts no memory that it pins");
    }
    return {};
}

Result<void> counted_now(BorrowedFd pidfd, pid_t pid, uid_t uid, gid_t gid, const ProcessTable& table) {
    const bool initial = is_initial_uid_map(table.read(fmt::format("/proc/{}/uid_map", pid)));
    std::vector<Credentials> threads;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(fmt::format("/proc/{}/task", pid), error), end;
         !error && entry != end; entry.increment(error)) {
        if (threads.size() == most_threads) {
            return refused(fmt::format("the caller has more than {} threads to look at", most_threads));
        }
        // Nothing of a thread that has exited meanwhile.
        if (const auto thread = parse_credentials(table.read(entry->path().string() + "/status"))) {
            threads.push_back(*thread);
        }
    }
    if (error || threads.empty() || !table.still_runs(pidfd)) {
        return refused("the caller has exited");
    }
    if (!initial) {  // before its capabilities, which are none outside of that namespace
        return refused("the caller is not in the initial user namespace");
    }
    for (const Credentials& thread : threads) {
        if (auto counted = counted_against(thread, uid, gid); !counted) {
            return counted;
        }
    }
    return {};
}

}  // namespace iommud::monitor
