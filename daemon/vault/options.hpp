// The vault's command line, and the two users that it must know.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/result.hpp"
#include "daemon/vault/uid_ranges.hpp"

namespace iommud::vault {

struct Options {
    bool simulated = false;
    bool verbose = false;
    bool after_stop = false;  // no vault: what ExecStopPost= is for (Cgroups::give_back)
    std::string run = "/run/iommud";
    std::string libexec;  // where iommud-keeper and iommud-worker are; default: beside the vault
    UidRanges uids;
};

// Nothing when --help was asked and has been printed.
[[nodiscard]] Result<std::optional<Options>> parse_options(int argc, char** argv);

struct User {
    uid_t uid = 0;
    gid_t gid = 0;
};

// The user `name` in `passwd`, the text of an /etc/passwd: the vault loads no name service module. uid 0 is refused.
[[nodiscard]] Result<User> find_user(std::string_view passwd, std::string_view name);

}  // namespace iommud::vault
