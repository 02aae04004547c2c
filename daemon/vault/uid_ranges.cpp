#include "daemon/vault/uid_ranges.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "daemon/vault/files.hpp"

namespace iommud::vault {
namespace {

// Policy gives uids from the first on nothing; from 2^31 on some tools take a uid for a negative number.
constexpr UidRange possible{0x70000000, 0x7fffffff};

std::string_view take_until(std::string_view& text, char separator) {
    const std::size_t at = text.find(separator);
    const std::string_view taken = text.substr(0, at);
    text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
    return taken;
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return !text.empty() && error == std::errc{} && rest == text.data() + text.size() ? std::optional(value)
                                                                                      : std::nullopt;
}

std::string text_of(const UidRange& range) {
    return range.first == range.last ? std::to_string(range.first) : fmt::format("{}-{}", range.first, range.last);
}

// One line's uids, and whose they are.
struct Owned {
    std::string_view name;
    UidRange uids;
};

std::optional<Owned> owned(std::string_view name, std::optional<std::uint64_t> first, std::uint64_t count) {
    constexpr std::uint64_t largest = std::numeric_limits<std::uint32_t>::max();
    if (!first || *first > largest || count == 0) {
        return std::nullopt;
    }
    const std::uint64_t last = count - 1 > largest - *first ? largest : *first + count - 1;
    return Owned{name, {static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(last)}};
}

std::optional<Owned> passwd_line(std::string_view line) {
    const std::string_view name = take_until(line, ':');
    take_until(line, ':');  // the password
    return owned(name, number(take_until(line, ':')), 1);
}

std::optional<Owned> subuid_line(std::string_view line) {
    const std::string_view name = take_until(line, ':');
    const auto first = number(take_until(line, ':'));
    return owned(name, first, number(line).value_or(0));
}

Result<void> check_lines(const UidRange& uids, std::string_view text, const char* file,
                         std::optional<Owned> (*parse)(std::string_view)) {
    for (std::size_t line = 1; !text.empty(); ++line) {
        const auto found = parse(take_until(text, '\n'));
        if (found && found->uids.overlaps(uids)) {
            return fail(
                ErrorCode::internal,
                fmt::format("{}:{} gives {} the uid{} {}, but {} must be the daemon's own: see --keeper-uids and "
                            "--worker-uids in iommud(8)",
                            file, line, found->name, found->uids.first == found->uids.last ? "" : "s",
                            text_of(found->uids), text_of(uids)));
        }
    }
    return {};
}

}  // namespace

Result<UidRange> parse_uid_range(std::string_view text) {
    std::string_view rest = text;
    const auto first = number(take_until(rest, '-'));
    const auto last = number(rest);
    if (!first || !last || *first > *last || *first < possible.first || *last > possible.last) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("'{}' is no range of uids: expected FIRST-LAST, both from {} to {}", text,
                                possible.first, possible.last));
    }
    return UidRange{static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(*last)};
}

std::vector<UidRange> uids_of(std::uint32_t uid, std::string_view passwd, std::string_view subuid) {
    std::vector<std::string_view> names;
    while (!passwd.empty()) {
        if (const auto user = passwd_line(take_until(passwd, '\n')); user && user->uids.first == uid) {
            names.push_back(user->name);
        }
    }
    std::vector<UidRange> uids{{uid, uid}};
    while (!subuid.empty()) {
        const auto range = subuid_line(take_until(subuid, '\n'));
        if (range &&
            (number(range->name) == uid || std::find(names.begin(), names.end(), range->name) != names.end())) {
            uids.push_back(range->uids);
        }
    }
    return uids;
}

Result<void> check_ranges(const UidRanges& ranges) {
    if (ranges.keepers.overlaps(ranges.workers)) {
        return fail(ErrorCode::invalid_argument, fmt::format("keepers' uids {} and workers' uids {} overlap",
                                                             text_of(ranges.keepers), text_of(ranges.workers)));
    }
    const std::uint32_t room = ranges.workers.last - ranges.workers.first + 1;
    constexpr std::uint32_t needed = ipc::max_worker_slot + 1;
    if (room < needed) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("workers' uids {} are {}; {} are needed: one for each connection, one for undertakers",
                                text_of(ranges.workers), room, needed));
    }
    return {};
}

Result<void> owned_by_nobody(const UidRange& uids, std::string_view passwd, std::string_view subuid) {
    return check_lines(uids, passwd, "/etc/passwd", passwd_line).and_then([&] {
        return check_lines(uids, subuid, "/etc/subuid", subuid_line);
    });
}

Result<void> owned_by_nobody(const UidRange& uids) {
    const auto passwd = read_whole("/etc/passwd");
    const auto subuid = read_whole("/etc/subuid");
    if (!passwd || !subuid) {
        return tl::unexpected(passwd ? subuid.error() : passwd.error());
    }
    return owned_by_nobody(uids, *passwd, *subuid);
}

}  // namespace iommud::vault
