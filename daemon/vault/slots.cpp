#include "daemon/vault/slots.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "daemon/vault/files.hpp"

namespace iommud::vault {
namespace {

constexpr std::string_view given_word = "given ";
// Vaults of other versions may have written more accounts than this one keeps.
constexpr std::size_t largest_file = std::size_t{16} << 20;
constexpr std::size_t most_ranges = 64;  // one, and one more whenever the administrator sets another range
constexpr std::size_t longest_line = std::string_view("given 4294967295-4294967295\n").size();
static_assert((most_accounts + most_ranges) * longest_line <= largest_file, "what is written can be read");

std::optional<std::uint32_t> take_number(std::string_view& text, char end) {
    std::uint32_t number = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || rest == text.data() + text.size() || *rest != end) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()) + 1);
    return number;
}

// Joined with what it meets or touches.
void give(std::map<std::uint32_t, std::uint32_t>& given, std::uint32_t first, std::uint32_t last) {
    auto at = given.upper_bound(first);
    if (at != given.begin() && (std::prev(at)->second >= first || std::prev(at)->second + 1 == first)) {
        --at;
        first = at->first;
    }
    while (at != given.end() && (at->first <= last || at->first == last + 1)) {
        last = std::max(last, at->second);
        at = given.erase(at);
    }
    given[first] = last;
}

bool take_line(std::string_view& text, Slots& slots, std::set<std::uint32_t>& taken) {
    if (text.starts_with(given_word)) {
        text.remove_prefix(given_word.size());
        const auto first = take_number(text, '-');
        const auto last = first ? take_number(text, '\n') : std::nullopt;
        if (last && *first <= *last) {
            give(slots.given, *first, *last);
        }
        return last && *first <= *last;
    }
    const auto account = take_number(text, ' ');
    const auto own = account ? take_number(text, '\n') : std::nullopt;
    if (!own || !taken.insert(*own).second || !slots.accounts.emplace(*account, *own).second) {
        return false;
    }
    give(slots.given, *own, *own);
    return true;
}

}  // namespace

Result<Slots> parse_slots(std::string_view text) {
    Slots slots;
    std::set<std::uint32_t> taken;
    for (std::size_t line = 1; !text.empty(); ++line) {
        if (!take_line(text, slots, taken)) {
            return fail(ErrorCode::internal,
                        fmt::format("slots:{}: expected 'ACCOUNT UID', each once, or 'given FIRST-LAST'", line));
        }
    }
    return slots;
}

SlotsFile::SlotsFile(const std::string& path, UidRange range) : path_(path), range_(range) {
    const Lines lines = read_lines(path, largest_file);
    auto slots = parse_slots(lines.whole);
    if (!slots) {
        throw Fatal(fmt::format("{}: {}", path, slots.error().message));
    }
    slots_ = std::move(*slots);
    if (lines.cut_off && next() <= range_.last) {
        give(slots_.given, static_cast<std::uint32_t>(next()), static_cast<std::uint32_t>(next()));
    }
    // Nobody holds anything yet: the last ones stay.
    std::vector<Slot> all(slots_.accounts.begin(), slots_.accounts.end());
    std::sort(all.begin(), all.end(), [](const Slot& left, const Slot& right) { return left.second > right.second; });
    for (std::size_t i = most_idle_accounts; i < all.size(); ++i) {
        slots_.accounts.erase(all[i].first);
    }
}

std::uint64_t SlotsFile::next() const {
    std::uint64_t next = range_.first;
    for (const auto& [first, last] : slots_.given) {
        if (first <= range_.last && last >= next) {
            next = std::uint64_t{last} + 1;
        }
    }
    return next;
}

Result<std::uint32_t> SlotsFile::uid_of(std::uint32_t account_uid) {
    if (const auto known = slots_.accounts.find(account_uid); known != slots_.accounts.end()) {
        used_[account_uid] = ++calls_;
        return known->second;
    }
    if (slots_.accounts.size() >= most_accounts) {
        return fail(ErrorCode::lease_limit,
                    fmt::format("account {} would be one more of {} that hold leases: no more fit", account_uid,
                                slots_.accounts.size()));
    }
    if (next() > range_.last) {
        return fail(ErrorCode::internal,
                    fmt::format("account {} gets no uid of the daemon's own: {}-{} are used up until the next boot",
                                account_uid, range_.first, range_.last));
    }
    const auto own = static_cast<std::uint32_t>(next());
    if (auto free = owned_by_nobody({own, own}); !free) {
        return tl::unexpected(free.error());
    }
    // Given although it may not be written: it is not given again.
    give(slots_.given, own, own);
    while (slots_.given.size() > most_ranges) {  // what lies between the first two counts as given
        const std::uint32_t last = std::next(slots_.given.begin())->second;
        slots_.given.erase(std::next(slots_.given.begin()));
        slots_.given.begin()->second = last;
    }
    slots_.accounts.emplace(account_uid, own);
    if (auto written = write(); !written) {
        slots_.accounts.erase(account_uid);
        return fail(ErrorCode::internal, fmt::format("account {}: {}", account_uid, written.error().message));
    }
    used_[account_uid] = ++calls_;
    return own;
}

Result<void> SlotsFile::write() const {
    std::string text;
    for (const auto& [first, last] : slots_.given) {
        text += fmt::format("{}{}-{}\n", given_word, first, last);
    }
    for (const auto& [account, own] : slots_.accounts) {
        text += fmt::format("{} {}\n", account, own);
    }
    if (auto file = replace_own(path_, text); !file) {
        return tl::unexpected(file.error());
    }
    return {};
}

std::optional<SlotsFile::Slot> SlotsFile::surplus(const std::set<std::uint32_t>& busy) const {
    std::size_t idle = 0;
    std::optional<Slot> oldest;
    std::uint64_t oldest_used = 0;
    for (const auto& [account, own] : slots_.accounts) {
        if (busy.contains(account)) {
            continue;
        }
        const auto at = used_.find(account);
        const std::uint64_t used = at == used_.end() ? 0 : at->second;
        if (++idle == 1 || used < oldest_used) {
            oldest = Slot(account, own);
            oldest_used = used;
        }
    }
    return idle < most_idle_accounts ? std::nullopt : oldest;
}

void SlotsFile::forget(std::uint32_t account_uid) {
    slots_.accounts.erase(account_uid);
    used_.erase(account_uid);
}

}  // namespace iommud::vault
