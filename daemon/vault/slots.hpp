// Which of the daemon's own uids belongs to which account: RUN/slots, lines "UID SLOT". A slot is never given to a
// second account before a reboot: what an old keeper's client kept pinned still counts under its uid (hazard H11).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "daemon/base/result.hpp"
#include "daemon/base/unique_fd.hpp"

namespace iommud::vault {

using Slots = std::map<std::uint32_t, std::uint32_t>;  // account uid -> slot

inline constexpr std::uint32_t most_slots = 0x08000000;  // keeper uids end where worker uids begin

// Refuses a file that is not exactly of that form, names an account or a slot twice, or has a slot out of bounds.
[[nodiscard]] Result<Slots> parse_slots(std::string_view text);

class SlotsFile {
  public:
    // Opens or makes the file, which must be a regular file of ours that nobody else may write. Throws Fatal.
    explicit SlotsFile(const std::string& path);

    // The account's slot; a new one is in the file before it is returned.
    [[nodiscard]] Result<std::uint32_t> slot_of(std::uint32_t account_uid);
    [[nodiscard]] const Slots& all() const { return slots_; }

  private:
    UniqueFd file_;
    Slots slots_;
    std::uint32_t next_ = 0;
};

}  // namespace iommud::vault
