#include "daemon/vault/cgroups.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>

#include "daemon/base/bytes.hpp"
#include "daemon/base/worker_bounds.hpp"
#include "daemon/ipc/vault_messages.hpp"
#include "daemon/vault/files.hpp"

namespace iommud::vault {
namespace {

static_assert(most_workers == ipc::max_worker_slot);

constexpr std::string_view root = "/sys/fs/cgroup";

// Of this process, below `root`; with a slash first.
Result<std::string> own_cgroup() {
    const auto own = read_small("/proc/self/cgroup");
    if (!own) {
        return tl::unexpected(own.error());
    }
    if (!own->starts_with("0::/") || *own == "0::/" || own->find('\n') != std::string::npos) {
        return fail(ErrorCode::internal, "/proc/self/cgroup is '" + *own + "'");
    }
    return own->substr(3);
}

template <class T>
T or_fatal(Result<T> result) {
    if (!result) {
        throw Fatal(
            fmt::format("{}: the vault needs a delegated cgroup v2: start it as iommud-vault.service "
                        "(Delegate=memory pids)",
                        result.error().message));
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

Result<void> make_folder(const std::string& path) {
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
        return fail(ErrorCode::internal, errno_message(path, errno));
    }
    return {};
}

std::optional<std::uint64_t> number_in(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

}  // namespace

Cgroups::Cgroups() {
    base_ = fmt::format("{}{}", root, or_fatal(own_cgroup()));
    // Accounts' cgroups are made in it. Who could list it would hold its lock for as long as his memory, a FUSE
    // server's, takes to be written to, and the vault would wait for that (fs/readdir.c).
    if (::chmod(base_.c_str(), 0711) != 0) {
        or_fatal<void>(fail(ErrorCode::internal, errno_message(base_, errno)));
    }
    or_fatal(make_folder(base_ + "/vault"));
    or_fatal(enter_cgroup(base_ + "/vault"));
    or_fatal(write_small(base_ + "/cgroup.subtree_control", "+memory +pids"));
    or_fatal(make_folder(workers()));
    or_fatal(write_small(workers() + "/pids.max", std::to_string(2 * ipc::max_worker_slot)));
    or_fatal(write_small(workers() + "/memory.max", std::to_string(workers_memory)));
}

Result<void> Cgroups::give_back() {
    constexpr std::string_view control = "/.control";
    auto own = own_cgroup();
    if (own && !own->ends_with(control)) {
        return fail(ErrorCode::invalid_argument,
                    "--after-stop is for ExecStopPost=, in the cgroup .control, and not in " + *own);
    }
    return own.and_then([control](const std::string& path) {
        const std::string_view unit = std::string_view(path).substr(0, path.size() - control.size());
        return write_small(fmt::format("{}{}/cgroup.subtree_control", root, unit), "-memory -pids");
    });
}

std::string Cgroups::account_folder(std::uint32_t keepers_uid) const {
    return fmt::format("{}/account-{}", base_, keepers_uid);
}

Result<std::string> Cgroups::account(std::uint32_t keepers_uid) const {
    std::string folder = account_folder(keepers_uid);
    if (const auto made = make_folder(folder); !made) {
        return tl::unexpected(made.error());
    }
    return folder;
}

Result<void> Cgroups::remove_account(std::uint32_t keepers_uid) const {
    const std::string folder = account_folder(keepers_uid);
    if (::rmdir(folder.c_str()) != 0 && errno != ENOENT) {
        return fail(ErrorCode::internal, errno_message(folder, errno));
    }
    return {};
}

Result<void> enter_cgroup(const std::string& folder) {
    return write_small(folder + "/cgroup.procs", "0");
}

Result<void> room_in_cgroup(const std::string& folder) {
    constexpr std::uint64_t needed = 256 * KiB;
    const auto current = read_small(folder + "/memory.current");
    const auto most = read_small(folder + "/memory.max");
    if (!current || !most) {
        return tl::unexpected(current ? most.error() : current.error());
    }
    const auto used = number_in(*current);
    const auto limit = number_in(*most);  // none for "max"
    if (used && limit && (*used >= *limit || *limit - *used < needed)) {
        return fail(
            ErrorCode::memory_limit,
            fmt::format("the account's memory.max is reached: {} of {}, with memory that was mapped and that its "
                        "holders have not given up",
                        format_bytes(*used), format_bytes(*limit)));
    }
    return {};
}

Result<UniqueFd> open_cgroup(const std::string& folder) {
    UniqueFd procs(::open((folder + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!procs.valid()) {
        return fail(ErrorCode::internal, errno_message(folder + "/cgroup.procs", errno));
    }
    return procs;
}

Result<void> limit_cgroup(const std::string& folder, std::uint64_t memory_max) {
    return write_small(folder + "/memory.max", std::to_string(memory_max));
}

}  // namespace iommud::vault
