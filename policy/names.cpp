#include "policy/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace iommud::policy {
namespace {

std::string_view take_until(std::string_view& text, char separator) {
    const std::size_t at = text.find(separator);
    const std::string_view taken = text.substr(0, at);
    text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
    return taken;
}

template <std::size_t Count>
std::array<std::string_view, Count> fields(std::string_view line) {
    std::array<std::string_view, Count> result;
    for (std::string_view& field : result) {
        field = take_until(line, ':');
    }
    return result;
}

std::optional<std::uint32_t> number(std::string_view text) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return !text.empty() && error == std::errc{} && end == text.data() + text.size() ? std::optional(value)
                                                                                     : std::nullopt;
}

// A NIS entry ("+", "-name") and a comment are no users of this machine.
bool is_name(std::string_view text) {
    return !text.empty() && text[0] != '+' && text[0] != '-' && text[0] != '#';
}

template <class Map, class Key>
auto look_up(const Map& map, const Key& key) -> std::optional<typename Map::mapped_type> {
    const auto found = map.find(key);
    return found == map.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

Names::Names(std::string_view passwd, std::string_view group, std::string_view subuid) {
    read_passwd(passwd);
    read_group(group);
    read_subuid(subuid);
    for (auto& [uid, groups] : groups_) {
        std::sort(groups.begin(), groups.end());
        groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    }
    subordinate_index_.build();
}

void Names::read_passwd(std::string_view text) {
    while (!text.empty()) {
        const auto [name, password, uid, gid] = fields<4>(take_until(text, '\n'));
        if (is_name(name) && number(uid) && number(gid)) {
            uids_.emplace(name, *number(uid));  // of two with one name the first counts, as for getpwnam(3)
            user_names_.emplace(*number(uid), name);
            groups_[*number(uid)].push_back(*number(gid));
        }
    }
}

void Names::read_group(std::string_view text) {
    while (!text.empty()) {
        auto [name, password, gid, members] = fields<4>(take_until(text, '\n'));
        if (!is_name(name) || !number(gid)) {
            continue;
        }
        gids_.emplace(name, *number(gid));
        group_names_.emplace(*number(gid), name);
        while (!members.empty()) {
            if (const auto uid = uid_of(take_until(members, ','))) {
                groups_[*uid].push_back(*number(gid));
            }
        }
    }
}

void Names::read_subuid(std::string_view text) {
    while (!text.empty()) {
        const auto [name, first, count] = fields<3>(take_until(text, '\n'));
        // The owner is a name or, by subuid(5), a uid.
        const auto owner = uid_of(name) ? uid_of(name) : number(name);
        if (owner && number(first) && number(count) && *number(count) > 0) {
            const std::uint64_t last = std::uint64_t{*number(first)} + *number(count) - 1;
            const auto most = std::numeric_limits<std::uint32_t>::max();
            const UidRange range{*number(first), static_cast<std::uint32_t>(std::min<std::uint64_t>(last, most))};
            subordinate_index_.add(range, static_cast<std::uint32_t>(subordinate_.size()));
            subordinate_.push_back({*owner, range});
        }
    }
}

std::optional<std::uint32_t> Names::uid_of(std::string_view user) const {
    return look_up(uids_, user);
}
std::optional<std::uint32_t> Names::gid_of(std::string_view group) const {
    return look_up(gids_, group);
}

std::string Names::user_text(std::uint32_t uid) const {
    const auto name = look_up(user_names_, uid);
    return name ? fmt::format("{} (uid {})", *name, uid) : fmt::format("uid {}", uid);
}

std::string Names::group_text(std::uint32_t gid) const {
    return look_up(group_names_, gid).value_or(fmt::format("gid {}", gid));
}

const std::vector<std::uint32_t>& Names::groups_of(std::uint32_t uid) const {
    static const std::vector<std::uint32_t> none;
    const auto found = groups_.find(uid);
    return found == groups_.end() ? none : found->second;
}

std::optional<std::uint32_t> Names::owner_of(std::uint32_t uid) const {
    // An owner without a name may be in a range himself.
    constexpr int most_steps = 8;
    for (int step = 0; step < most_steps; ++step) {
        const std::vector<SubordinateRange> ranges =
            user_names_.contains(uid) ? std::vector<SubordinateRange>() : subordinate_in({uid, uid});
        const auto others = [&ranges](const SubordinateRange& range) { return range.owner != ranges.front().owner; };
        if (ranges.empty() || std::any_of(ranges.begin(), ranges.end(), others)) {
            return ranges.empty() ? std::optional(uid) : std::nullopt;
        }
        uid = ranges.front().owner;
    }
    return std::nullopt;  // nobody is the first of a ring
}

void Names::owners_of(std::uint32_t uid, std::vector<std::uint32_t>& owners) const {
    for (const SubordinateRange& subordinate : subordinate_in({uid, uid})) {
        owners.push_back(subordinate.owner);
    }
}

std::vector<SubordinateRange> Names::subordinate_in(UidRange range) const {
    std::vector<std::uint32_t> numbers;
    subordinate_index_.find(range, numbers);
    std::vector<SubordinateRange> result;
    result.reserve(numbers.size());
    for (const std::uint32_t number : numbers) {
        result.push_back(subordinate_[number]);
    }
    return result;
}

}  // namespace iommud::policy
