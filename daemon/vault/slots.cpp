#include "daemon/vault/slots.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <set>

#include "daemon/vault/files.hpp"

namespace iommud::vault {
namespace {

constexpr std::size_t largest_file = 1 << 20;

std::optional<std::uint32_t> take_number(std::string_view& text, char end) {
    std::uint32_t number = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || rest == text.data() + text.size() || *rest != end) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()) + 1);
    return number;
}

}  // namespace

Result<Slots> parse_slots(std::string_view text) {
    Slots slots;
    std::set<std::uint32_t> taken;
    for (std::size_t line = 1; !text.empty(); ++line) {
        const auto uid = take_number(text, ' ');
        const auto own = uid ? take_number(text, '\n') : std::nullopt;
        if (!own || !taken.insert(*own).second || !slots.emplace(*uid, *own).second) {
            return fail(ErrorCode::internal, fmt::format("slots:{}: expected 'ACCOUNT UID', each once", line));
        }
    }
    return slots;
}

SlotsFile::SlotsFile(const std::string& path, UidRange range)
    : file_(open_own(path)), range_(range), next_(range.first) {
    auto slots = parse_slots(read_own(file_.borrow(), path, largest_file));
    if (!slots) {
        throw Fatal(fmt::format("{}: {}", path, slots.error().message));
    }
    slots_ = std::move(*slots);
    for (const auto& [account, own] : slots_) {
        if (range_.contains(own)) {
            next_ = std::max(next_, std::uint64_t{own} + 1);
        }
    }
}

Result<std::uint32_t> SlotsFile::uid_of(std::uint32_t account_uid) {
    if (const auto known = slots_.find(account_uid); known != slots_.end()) {
        return known->second;
    }
    if (next_ > range_.last) {
        return fail(ErrorCode::internal,
                    fmt::format("account {} gets no uid of the daemon's own: {}-{} are used up until the next boot",
                                account_uid, range_.first, range_.last));
    }
    const auto own = static_cast<std::uint32_t>(next_);
    if (auto free = owned_by_nobody({own, own}); !free) {
        return tl::unexpected(free.error());
    }
    const std::string line = fmt::format("{} {}\n", account_uid, own);
    if (::write(file_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        return fail(ErrorCode::internal, errno_message(fmt::format("account {}: the slots file", account_uid), errno));
    }
    slots_.emplace(account_uid, own);
    ++next_;
    return own;
}

}  // namespace iommud::vault
